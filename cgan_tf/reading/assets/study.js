"use strict";
// One reader at the page: the screens, the view of the pictures, the clock, and what is kept.

const $ = (id) => document.getElementById(id);
const study = JSON.parse($("study").textContent);
const checksum = document.documentElement.dataset.checksum;
const size = study.size, deepest = 4095, twoPictures = study.pictures === 2;
const canvases = [...document.querySelectorAll("#pictures canvas")];
const caseOf = new Map([...study.training, ...study.cases].map((each) => [each.id, each]));

// ---- What is kept in this browser, under the study and the reader's code

const PREFIX = `reader-study:${checksum}:`;
const kept = {
  works: true,
  read(code) {
    try { return JSON.parse(localStorage.getItem(PREFIX + code)); } catch { return null; }
  },
  write(session) {
    try { localStorage.setItem(PREFIX + session.reader, JSON.stringify(session)); }
    catch { kept.works = false; }
  },
  try() {
    try {
      localStorage.setItem(`${PREFIX}?`, "");
      localStorage.removeItem(`${PREFIX}?`);
    } catch { kept.works = false; }
  },
  codes() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))
        .map((key) => key.slice(PREFIX.length));
    } catch { kept.works = false; return []; }
  },
};

// ---- The order: another one for every code, the same whenever the code comes back

// Numbers in [0, 1) that depend on a text alone: its FNV-1a hash, then a counter through MurmurHash3's
// finaliser. Codes like R1 and R2 have hashes alike; without the products they would have orders alike.
const streamOf = (text) => {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    state = Math.imul(state ^ byte, 0x01000193);
  }
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
};

const shuffled = (list, random) => {
  const left = [...list], out = [];
  while (left.length) out.push(...left.splice(Math.floor(random() * left.length), 1));
  return out;
};

const leastGap = (ids) => {
  const last = new Map();
  let least = Infinity;
  ids.forEach((id, place) => {
    if (last.has(id)) least = Math.min(least, place - last.get(id));
    last.set(id, place);
  });
  return least;
};

// Repeated cases come once in each half, and not too soon again: a picture that was seen just now is
// remembered, not read. The first such order is taken; the best of many would have them at its ends.
const trialsOf = (code) => {
  const random = streamOf(`${checksum}|${code}`);
  const others = shuffled(study.cases.map((c) => c.id).filter((id) => !study.repeated.includes(id)),
    random);
  const total = study.cases.length + study.repeated.length;
  const early = Math.max(0, Math.ceil(total / 2) - study.repeated.length);
  const wanted = Math.min(10, Math.floor(total / 4));
  let order = [], gap = -1;
  for (let attempt = 0; attempt < 100 && gap < wanted; attempt++) {
    const ids = [
      ...shuffled([...study.repeated, ...others.slice(0, early)], random),
      ...shuffled([...study.repeated, ...others.slice(early)], random),
    ];
    if (leastGap(ids) > gap) { order = ids; gap = leastGap(ids); }
  }
  const seen = new Set();
  const trial = (id, training) => {
    const repeat = seen.has(id);
    seen.add(id);
    return { id, training, repeat, turned: twoPictures && random() < 0.5 };
  };
  return [
    ...study.training.map((each) => trial(each.id, true)),
    ...order.map((id) => trial(id, false)),
  ];
};

// ---- The clock of a case: it stands while nothing of it is to be seen

const clock = {
  spent: 0, since: null,
  reset() { clock.spent = 0; clock.since = null; },
  start() { if (clock.since === null) clock.since = performance.now(); },
  stop() {
    if (clock.since !== null) clock.spent += performance.now() - clock.since;
    clock.since = null;
  },
};

// ---- The pictures

const whole = () => ({ zoom: 1, x: size / 2, y: size / 2 });
let view = { ...whole(), low: study.window[0], high: study.window[1], inverted: false };
let shown = [];

// Two characters of base64 hold the twelve bits of a pixel.
const levelsOf = (text) => {
  const raw = atob(text), out = new Uint16Array(size * size);
  for (let i = 0, j = 0; i < out.length; i += 2, j += 3) {
    const middle = raw.charCodeAt(j + 1);
    out[i] = (raw.charCodeAt(j) << 4) | (middle >> 4);
    out[i + 1] = ((middle & 15) << 8) | raw.charCodeAt(j + 2);
  }
  return out;
};

const sheet = document.createElement("canvas");
sheet.width = sheet.height = size;

const draw = () => {
  const grey = new Uint8ClampedArray(deepest + 1);
  for (let level = 0; level <= deepest; level++) {
    const value = 255 * (level - view.low) / Math.max(1, view.high - view.low);
    grey[level] = view.inverted ? 255 - Math.min(255, Math.max(0, value)) : value;
  }
  canvases.forEach((canvas, number) => {
    const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    if (!shown[number]) { context.clearRect(0, 0, side, side); return; }
    const image = new ImageData(size, size);
    shown[number].forEach((level, i) => {
      image.data[4 * i] = image.data[4 * i + 1] = image.data[4 * i + 2] = grey[level];
      image.data[4 * i + 3] = 255;
    });
    sheet.getContext("2d").putImageData(image, 0, 0);
    const part = size / view.zoom;
    context.imageSmoothingQuality = "high";
    context.drawImage(sheet, view.x - part / 2, view.y - part / 2, part, part, 0, 0, side, side);
  });
};

const moved = (dx, dy) => {
  const half = size / view.zoom / 2;
  view.x = Math.min(size - half, Math.max(half, view.x + dx));
  view.y = Math.min(size - half, Math.max(half, view.y + dy));
  draw();
};
const zoomed = (factor) => {
  view.zoom = Math.min(16, Math.max(1, view.zoom * factor));
  moved(0, 0);
};
// Contrast: the width of the window of levels; brightness: its middle.
const windowed = (narrower, lower) => {
  const middle = (view.low + view.high) / 2 - lower;
  const half = Math.max(8, Math.min(deepest, (view.high - view.low) / narrower) / 2);
  view.low = middle - half;
  view.high = middle + half;
  draw();
};
const step = () => (view.high - view.low) / 16;
const pan = () => size / view.zoom / 10;

// ---- The session

let session = null, trials = [], chosen = null, judged = false, resumed = false;
let opened = -1; // answers there were when the case in the view was opened
const trialNow = () => trials[session.answers.length];
const studied = () => session.answers.filter((answer) => !answer.training).length;
const toStudy = study.cases.length + study.repeated.length;

const show = (name) => {
  for (const screen of document.querySelectorAll("main")) screen.hidden = screen.id !== name;
  document.body.dataset.screen = name;
  if (name === "read") { draw(); if (!judged) clock.start(); } else clock.stop();
  document.querySelector(`#${name} .main`)?.focus({ preventScroll: true });
  if (name === "read") document.activeElement?.blur();
};

const begin = (code) => {
  trials = trialsOf(code);
  session = kept.read(code) ?? {
    format: 1, study: checksum, question: study.question, reader: code,
    started: new Date().toISOString(), rests: 0, answers: [],
  };
  session.display = {
    width: screen.width, height: screen.height, ratio: devicePixelRatio, bits: screen.colorDepth,
  };
  resumed = session.answers.length > 0;
  kept.write(session);
  advance();
};

const advance = () => {
  if (session.answers.length === trials.length) { finish(); return; }
  open();
};

const open = () => {
  const trial = trialNow(), pictures = caseOf.get(trial.id).pictures.map(levelsOf);
  shown = trial.turned ? pictures.reverse() : pictures;
  view = { ...view, ...whole() };
  chosen = null; judged = false; opened = session.answers.length;
  clock.reset();
  $("verdict").textContent = $("verdict").className = "";
  $("place").textContent = trial.training
    ? `Training ${session.answers.length + 1} of ${study.training.length}`
    : `${studied() + 1} of ${toStudy}`;
  $("progress").value = trial.training ? 0 : studied() / toStudy;
  press();
  show("read");
};

const press = () => {
  for (const button of $("answers").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.value) === chosen));
    button.disabled = judged;
  }
  $("next").disabled = chosen === null;
};

const choose = (value) => {
  if (judged) return;
  if (value === chosen) { actions.next(); return; }
  chosen = value;
  press();
};

// The picture that was chosen, whichever side it was on; elsewhere the answer itself.
const answered = (trial) => (twoPictures ? (chosen ^ trial.turned) : chosen);

const judge = (trial) => {
  const truth = caseOf.get(trial.id).truth;
  const side = twoPictures ? answered(trial)
    : study.options.find((option) => option.value === chosen).side;
  const right = side === truth;
  $("verdict").className = right ? "right" : "wrong";
  $("verdict").textContent = `${right ? "Right" : "No"}: ${twoPictures
    ? `the ${["left", "right"][truth ^ trial.turned]} one is synthetic` : study.truths[truth]}.`;
};

const record = (trial) => {
  const answer = { case: trial.id, answer: answered(trial), seconds: clock.spent / 1000 };
  answer.seconds = Math.round(100 * answer.seconds) / 100;
  if (twoPictures) answer.left = Number(trial.turned);
  if (trial.training) answer.training = true;
  if (trial.repeat) answer.repeat = true;
  if (resumed) answer.interrupted = true; // what was seen before the page was closed is not timed
  resumed = false;
  session.answers.push(answer);
  kept.write(session);
};

const rest = (title, text) => {
  $("rest-title").textContent = title;
  $("rest-text").textContent = text;
  $("rest-kept").hidden = !kept.works;
  $("rest-unkept").hidden = kept.works;
  show("rest");
};

const ahead = () => {
  const times = session.answers.filter((a) => !a.training).map((a) => a.seconds).sort((a, b) => a - b);
  const left = toStudy - studied();
  const minutes = times.length ? Math.ceil(left * times[times.length >> 1] / 60) : 0;
  const time = minutes ? `: about ${minutes} min` : "";
  return `${studied()} of ${toStudy} read, ${left} to go${time}.`;
};

const finish = () => {
  session.finished = session.finished ?? new Date().toISOString();
  kept.write(session);
  $("done-text").textContent =
    `All ${toStudy} cases are read. The answers of ${session.reader} go into one file.`;
  $("copy").value = JSON.stringify(session);
  show("done");
};

const save = () => {
  const text = JSON.stringify(session, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `answers_${checksum.slice(0, 8)}_${session.reader}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

const actions = {
  next() {
    if (chosen === null) return;
    const trial = trialNow();
    if (!judged) clock.stop();
    if (trial.training && !judged) {
      judged = true;
      judge(trial);
      press();
      return;
    }
    record(trial);
    const done = studied();
    if (trial.training && session.answers.length === study.training.length) {
      rest("The training is over", "From here on no answer is shown. " + ahead());
    } else if (session.answers.length === trials.length) {
      finish();
      save();
    } else if (!trial.training && study.breakEvery && done % study.breakEvery === 0) {
      rest("Rest your eyes", ahead());
    } else open();
  },
  pause() {
    session.rests += 1;
    kept.write(session);
    rest("Rest", ahead());
  },
  goOn() {
    if (opened === session.answers.length) show("read"); else advance();
  },
  save,
  help() {
    const dialog = $("help");
    if (dialog.open) { dialog.close(); return; }
    clock.stop();
    dialog.showModal();
  },
  larger() { zoomed(1.25); },
  smaller() { zoomed(0.8); },
  left() { moved(-pan(), 0); },
  right() { moved(pan(), 0); },
  up() { moved(0, -pan()); },
  down() { moved(0, pan()); },
  harder() { windowed(1.15, 0); },
  softer() { windowed(1 / 1.15, 0); },
  brighter() { windowed(1, step()); },
  darker() { windowed(1, -step()); },
  invert() { view.inverted = !view.inverted; draw(); },
  reset() {
    view = { ...whole(), low: study.window[0], high: study.window[1], inverted: false };
    draw();
  },
};

// ---- Keys, buttons, the mouse

const KEYS = {
  "+": "larger", "=": "larger", "-": "smaller", "_": "smaller", "0": "reset", "i": "invert",
  "ArrowRight": "harder", "ArrowLeft": "softer", "ArrowUp": "brighter", "ArrowDown": "darker",
  "Enter": "next", " ": "next", "p": "pause", "h": "help", "?": "help",
};
const MOVES = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

const readingKey = (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const option = study.options.find((each) => each.key === key);
  if (option) choose(option.value);
  else if (event.shiftKey && MOVES[event.key]) actions[MOVES[event.key]]();
  else if (KEYS[key]) actions[KEYS[key]]();
  else return;
  event.preventDefault();
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target.matches("input, textarea, summary")) return;
  const where = document.body.dataset.screen;
  if (where === "read") readingKey(event);
  else if (event.key.toLowerCase() === "s" && session && where !== "start") save();
  else if (where === "rest" && event.key === "Enter" && !event.target.matches("button")) {
    actions.goOn();
    event.preventDefault();
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  if (button.dataset.do) actions[button.dataset.do]();
  else if (button.dataset.value) choose(Number(button.dataset.value));
  else return;
  if (document.body.dataset.screen === "read") button.blur();
});

$("help").addEventListener("close", () => {
  if (document.body.dataset.screen === "read" && !judged) clock.start();
});

for (const canvas of canvases) {
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, levels: event.shiftKey || event.button === 2 };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from || !canvas.hasPointerCapture(event.pointerId)) return;
    const dx = event.clientX - from.x, dy = event.clientY - from.y;
    const scale = size / view.zoom / canvas.clientWidth;
    if (from.levels) windowed(1 + dx / 300, -dy / canvas.clientWidth * (view.high - view.low));
    else moved(-dx * scale, -dy * scale);
    Object.assign(from, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointerup", () => { from = null; });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    zoomed(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    event.preventDefault();
  }, { passive: false });
}

new ResizeObserver(() => { if (document.body.dataset.screen === "read") draw(); })
  .observe($("pictures"));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clock.stop();
  else if (document.body.dataset.screen === "read" && !judged && !$("help").open) clock.start();
});

$("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = $("code").value.trim().toUpperCase();
  if (code) begin(code);
});

kept.try();
for (const code of kept.codes()) {
  const { answers, finished } = kept.read(code) ?? { answers: [] };
  const done = answers.filter((answer) => !answer.training).length;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = finished ? `${code}: finished, save again`
    : `Go on as ${code}: ${done} of ${toStudy} read`;
  button.addEventListener("click", () => begin(code));
  $("sessions").append(button);
}
$("unkept").hidden = kept.works;
document.body.dataset.screen = "start";
$("start").hidden = false;
$("code").focus();
