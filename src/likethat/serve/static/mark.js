// Marking a part of a picture: by mouse, finger or pen, by arrow keys, or in the fields, which always say the same.
"use strict";

const STEP = 2; // percent an arrow key moves: a map of seven cells has one every 14
const LEAST = 1; // percent a side

for (const form of document.querySelectorAll("[data-mark]")) {
  const pad = form.querySelector("[data-pad]");
  const said = form.querySelector("[data-said]");
  const fields = ["left", "top", "right", "bottom"].map((side) => form.elements[`mark_${side}`]);
  const clip = (value) => Math.min(Math.max(value, 0), 100);
  const read = () => fields.map((field) => clip(Number(field.value) || 0));

  function draw() {
    const [left, top, right, bottom] = read();
    for (const rect of form.querySelectorAll("[data-rect]")) {
      rect.setAttribute("x", Math.min(left, right));
      rect.setAttribute("y", Math.min(top, bottom));
      rect.setAttribute("width", Math.abs(right - left));
      rect.setAttribute("height", Math.abs(bottom - top));
    }
  }

  function write(sides) {
    fields.forEach((field, place) => { field.value = Math.round(10 * sides[place]) / 10; });
    draw();
  }

  function tell() {
    const [left, top, right, bottom] = read();
    said.textContent = `From ${left} to ${right} percent across, ${top} to ${bottom} percent down.`;
  }

  const place = (event) => {
    const frame = pad.getBoundingClientRect();
    return [clip((100 * (event.clientX - frame.left)) / frame.width), clip((100 * (event.clientY - frame.top)) / frame.height)];
  };
  let start = null;
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = place(event);
    pad.setPointerCapture(event.pointerId);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = place(event);
    const sides = [0, 1].map((axis) => {
      const low = Math.min(start[axis], end[axis], 100 - LEAST);
      return [low, Math.max(start[axis], end[axis], low + LEAST)];
    });
    write([sides[0][0], sides[1][0], sides[0][1], sides[1][1]]);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    pad.addEventListener(kind, () => { if (start) tell(); start = null; });
  }

  const ARROWS = { ArrowLeft: [0, -STEP], ArrowRight: [0, STEP], ArrowUp: [1, -STEP], ArrowDown: [1, STEP] };
  pad.addEventListener("keydown", (event) => {
    if (event.key === "Enter") form.requestSubmit();
    if (!(event.key in ARROWS) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const sides = read();
    const [axis, step] = ARROWS[event.key];
    if (event.shiftKey) {
      sides[axis + 2] = Math.min(Math.max(sides[axis + 2] + step, sides[axis] + LEAST), 100);
    } else {
      const move = Math.min(Math.max(step, -sides[axis]), 100 - sides[axis + 2]);
      sides[axis] += move;
      sides[axis + 2] += move;
    }
    write(sides);
    tell();
  });

  form.addEventListener("input", draw);
  pad.tabIndex = 0; // without this script there are the fields alone
  pad.setAttribute("role", "application");
  pad.setAttribute("aria-label", "Mark a part of the picture");
  pad.setAttribute("aria-describedby", "mark-help");
  draw();
}
