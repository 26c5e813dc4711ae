for (const figure of document.querySelectorAll(".compare")) {
  const views = figure.querySelector(".views"), place = figure.querySelector(".place");
  const show = (percent) => {
    views.style.setProperty("--at", percent + "%");
    place.setAttribute("aria-valuetext", Math.round(percent) + "% " + place.dataset.before);
  };
  const follow = (event) => {
    const edges = views.getBoundingClientRect();
    const percent = 100 * (event.clientX - edges.left) / edges.width;
    place.value = percent;
    show(Math.min(100, Math.max(0, percent)));
  };
  place.addEventListener("input", () => show(place.valueAsNumber));
  views.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    views.setPointerCapture(event.pointerId);
    follow(event);
  });
  views.addEventListener("pointermove", (event) => {
    if (views.hasPointerCapture(event.pointerId)) follow(event);
  });
  show(place.valueAsNumber);
  figure.classList.add("live");
}
for (const chosen of document.querySelectorAll(".compare input[type=checkbox]")) {
  chosen.addEventListener("change", () => {
    for (const other of document.getElementsByName(chosen.name)) other.checked = chosen.checked;
  });
}
