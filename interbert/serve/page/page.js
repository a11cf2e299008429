// The page: what is typed becomes a search, its answer becomes cards.

import { cardOf } from "./card.js";
import { clicked, watch } from "./events.js";
import { byId, make } from "./make.js";
import { forget } from "./picture.js";
import { Refused, info, search, useKey } from "./server.js";
import { addTo, clear, topic } from "./topic.js";

const say = (text, wrong = false) => {
  const status = byId("status");
  status.textContent = text;
  status.classList.toggle("warn", wrong);
};

let server = null;
let running = new AbortController();
let observers = [];

async function begin() {
  try {
    server = await info();
  } catch (error) {
    return failed(error, begin);
  }
  byId("about").textContent = `${server.index.items.toLocaleString("en")} items. ${server.notice ?? ""}`;
  byId("beside").hidden = !server.arms;
}

function failed(error, again) {
  if (error.name === "AbortError") return;
  const noKey = error instanceof Refused && error.status === 401;
  say(noKey ? error.message : `Not done: ${error.message}`, true);
  if (!noKey) return;
  byId("keys").hidden = false;
  byId("key").focus();
  byId("keys").onsubmit = (event) => {
    event.preventDefault();
    useKey(byId("key").value.trim());
    byId("key").value = "";
    byId("keys").hidden = true;
    say("");
    again();
  };
}

function asked() {
  const typed = byId("query").value.trim();
  const texts = [...new Set([typed, ...topic()])].filter(Boolean); // the first is explained
  if (!texts.length) return null;
  const how = { k: Number(byId("k").value), rerank: byId("rerank").checked, explain: byId("explain").checked };
  return texts.length === 1 ? { query: texts[0], ...how } : { topic: texts, ...how };
}

async function find() {
  const body = asked();
  if (!body) {
    say("Say what is sought, or add texts to a topic", true);
    return byId("query").focus();
  }
  if (!server) return begin();
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const results = byId("results");
  results.setAttribute("aria-busy", "true");
  say("Searching …");
  const arms = server.arms && byId("both").checked ? Object.keys(server.arms) : [null];
  try {
    const answers = await Promise.all(arms.map((arm) => search(body, arm, signal)));
    if (signal.aborted) return;
    show(answers, body);
  } catch (error) {
    if (!signal.aborted) failed(error, find);
  } finally {
    if (!signal.aborted) results.removeAttribute("aria-busy");
  }
}

function show(answers, body) {
  observers.forEach((one) => one.disconnect());
  observers = [];
  forget();
  const columns = make("div", { class: answers.length > 1 ? "columns two" : "columns" });
  answers.forEach((answer, number) => columns.append(columnOf(answer, answers[1 - number], body)));
  byId("results").replaceChildren(columns);
  const counts = answers.map((one) => {
    const name = answers.length > 1 ? `${one.arm}: ` : "";
    return `${name}${one.results.length} items in ${one.seconds.total.toFixed(2)} s`;
  });
  say(counts.join("; "));
}

function columnOf(answer, other, body) {
  const ranked = answer.reranked > 0;
  const named = other ? make("h2", {}, answer.arm) : null;
  const model = other ? make("p", { class: "soft" }, server.arms[answer.arm].model.path) : null;
  const list = make("ol", { class: "items" });
  const cards = answer.results.map((hit, place) => {
    const card = cardOf(hit, {
      arm: answer.arm,
      place: place + 1,
      elsewhere: other && placeIn(other, hit.id),
      ranked,
      text: body.query ?? body.topic[0],
      several: Boolean(body.topic),
      add: (text) => say(addTo(text, server.limits.max_texts) || "It is in the topic already"),
      opened: () => answer.search && server.events && clicked(answer.search, hit.id),
    });
    list.append(make("li", {}, card));
    return [card, hit.id];
  });
  if (server.events && answer.search) observers.push(watch(answer.search, cards));
  const within = [named, model, cards.length ? list : make("p", { class: "none" }, "Nothing fits")];
  return make("section", { "aria-label": other ? `Model ${answer.arm}` : "Items" }, ...within.filter(Boolean));
}

function placeIn(other, id) {
  const place = other.results.findIndex((hit) => hit.id === id);
  return place < 0 ? "not among the other's" : `${place + 1}. of the other's`;
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
byId("add").addEventListener("click", () => {
  const text = byId("query").value.trim();
  if (!text) return say("Write a text first: it becomes part of the topic", true);
  say(addTo(text, server?.limits.max_texts ?? 1) || "It is in the topic already");
  byId("query").value = "";
  byId("query").focus();
});
byId("clear").addEventListener("click", () => {
  clear();
  say("The topic is empty");
  byId("query").focus();
});
begin();
