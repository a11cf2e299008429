// An item's picture with its regions; where no pixels are known, the regions alone.

import { drawn, make } from "./make.js";
import { nameOf, topOf } from "./why.js";
import { picture } from "./server.js";

const SIDE = 100;
const LETTER = 2.7;
const LINE = 4.4;

let kept = [];

/** Pictures of an earlier answer are let go. */
export function forget() {
  kept.forEach((address) => URL.revokeObjectURL(address));
  kept = [];
}

export function pictureOf(look, title, arm) {
  if (!look) return make("p", { class: "none" }, "Its regions cannot be had any more");
  const [width, height] = look.size[0] && look.size[1] ? look.size : [1, 1];
  const scale = SIDE / Math.max(width, height);
  const [w, h] = [width * scale, height * scale];
  const name = `${look.picture ? "Picture" : "Regions"} of ${title}: ${look.boxes.length} regions`;
  const svg = drawn("svg", { class: "picture", viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": name });
  look.boxes.forEach(([x1, y1, x2, y2], region) => {
    const place = { x: x1 * w, y: y1 * h, width: (x2 - x1) * w, height: (y2 - y1) * h };
    svg.append(drawn("rect", { ...place, "fill-opacity": 0 }, drawn("title", {}, nameOf(look, region))));
  });
  svg.append(drawn("g"));
  if (look.picture) {
    picture(look.id, arm).then((address) => {
      kept.push(address);
      svg.prepend(drawn("image", { href: address, width: w, height: h, preserveAspectRatio: "none" }));
    }, () => {}); // the regions are there
  }
  return svg;
}

/** Colours the regions that a word looks at, and names those that have most. */
export function show(svg, look, word) {
  if (!look) return;
  const most = Math.max(...word.shares, 1e-9);
  const top = topOf(word);
  const [, , w] = svg.getAttribute("viewBox").split(" ").map(Number);
  const rects = [...svg.querySelectorAll("rect")];
  rects.forEach((rect, region) => {
    const of = (word.shares[region] ?? 0) / most;
    rect.setAttribute("fill-opacity", (look.picture ? 0.08 : 0.4) * of); // a picture's own colours are to be seen
    rect.setAttribute("stroke-width", 1 + 3 * of);
    rect.classList.toggle("looked", top.some(([one]) => one === region));
  });
  const written = [];
  const names = top.map(([region]) => {
    const text = nameOf(look, region);
    const room = Math.max(1, w - LETTER * text.length);
    const x = Math.min(Number(rects[region].getAttribute("x")) + 1, room);
    const edge = Number(rects[region].getAttribute("y"));
    let y = edge > LINE ? edge - 1 : edge + LINE;
    while (written.some(([left, line]) => Math.abs(line - y) < LINE && Math.abs(left - x) < 30)) y += LINE;
    written.push([x, y]);
    return drawn("text", { x, y, "aria-hidden": "true" }, text);
  });
  svg.querySelector("g").replaceChildren(...names);
}
