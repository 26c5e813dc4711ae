for (const figure of document.querySelectorAll(".compare")) {
  const views = figure.querySelector(".views"), place = figure.querySelector(".place");
  const labels = [...figure.querySelectorAll(".view span")];
  const show = (percent) => {
    views.style.setProperty("--at", percent + "%");
    // A label that has no room on its side of the edge would be cut.
    const room = [percent, 100 - percent].map((side) => (side / 100) * views.clientWidth);
    labels.forEach((label, side) => {
      label.style.visibility = room[side] < label.offsetWidth ? "hidden" : "";
    });
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
  figure.classList.add("live");
  show(place.valueAsNumber);
}
