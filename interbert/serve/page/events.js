// What was really seen, and what was opened: told to a server that keeps such a record.

import { tell } from "./server.js";

const WAIT = 500;
const SEEN = 0.5;

let waiting = [];
let timer = 0;

function later(event) {
  waiting.push(event);
  clearTimeout(timer);
  timer = setTimeout(send, WAIT);
}

function send() {
  const events = waiting;
  waiting = [];
  if (events.length) tell(events).catch(() => {}); // nobody who searches is troubled by it
}

addEventListener("pagehide", send);

export const clicked = (search, item) => later({ type: "click", search, item });

/** Each card once, when half of it is on the screen. cards: [[element, item]] in order. */
export function watch(search, cards) {
  const places = new Map(cards.map(([element, item], place) => [element, { item, place }]));
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      const { item, place } = places.get(target);
      later({ type: "exposure", search, items: [item], first: place });
    }
  }, { threshold: SEEN });
  places.forEach((_, element) => observer.observe(element));
  return observer;
}
