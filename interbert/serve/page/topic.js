// A topic: several short texts that mean one thing.

import { byId, make, said } from "./make.js";

const texts = [];

export const topic = () => [...texts];

export function addTo(text, most) {
  if (!text || texts.includes(text)) return "";
  if (texts.length >= most) return `A topic has ${most} texts at most`;
  texts.push(text);
  draw();
  return `Added to the topic: ${text}`;
}

export function clear() {
  texts.length = 0;
  draw();
}

function draw() {
  byId("topic").hidden = texts.length === 0;
  const items = texts.map((text, number) => {
    const away = make("button", { type: "button", "aria-label": `Remove from topic: ${text}` }, "×");
    away.addEventListener("click", () => {
      texts.splice(number, 1);
      draw();
      const next = byId("topic").querySelectorAll("li button");
      (next[Math.min(number, next.length - 1)] ?? byId("query")).focus();
    });
    return make("li", {}, said("span", text), away);
  });
  byId("topic").querySelector("ul").replaceChildren(...items);
}
