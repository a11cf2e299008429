// An item that was found, and a closer look at it.

import { byId, make, percent, said } from "./make.js";
import { pictureOf, show } from "./picture.js";
import { look } from "./server.js";
import { nameOf, topOf, wordsOf } from "./why.js";

/** hit: of the answer. how: {arm, place, elsewhere, ranked, text, several, add, opened}; text is explained, perhaps of several */
export function cardOf(hit, how) {
  const title = hit.title || hit.id;
  const open = said("button", title, { type: "button", "aria-haspopup": "dialog" });
  const figure = make("figure");
  const card = make("article", {}, figure, make("h3", {}, open));
  if (hit.title) card.append(said("p", hit.id, { class: "soft" }));
  card.append(scoreOf(hit, how));
  const found = look(hit.id, how.arm).catch(() => null);
  const words = hit.explanation ? wordsOf(hit.explanation) : [];
  found.then((known) => {
    const svg = pictureOf(known, title, how.arm);
    figure.append(svg);
    if (words.length && known) add.before(...whyOf(words, svg, known, how));
  });
  open.addEventListener("click", async () => {
    how.opened();
    closer(hit, title, words, await found, how.arm);
  });
  const add = make("button", { type: "button", onclick: () => how.add(title) }, "Add to topic");
  add.setAttribute("aria-label", `Add to topic: ${title}`);
  card.append(add);
  return card;
}

function scoreOf(hit, { place, elsewhere, ranked }) {
  const text = ranked ? `${place}. fits: ${percent(hit.score)}` : `${place}. product ${hit.score.toFixed(3)}`;
  const bar = make("i");
  bar.style.width = ranked ? `${100 * hit.score}%` : "0";
  const line = make("p", { class: "score" }, make("span", {}, text));
  if (ranked) line.append(make("span", { class: "track", "aria-hidden": "true" }, bar));
  if (elsewhere === undefined) return line;
  return make("div", {}, line, make("p", { class: "soft" }, elsewhere));
}

/** The words as a toolbar: one stop of Tab, arrows within. */
function whyOf(words, svg, known, { text, several }) {
  const told = make("p", { "aria-live": "polite" });
  const bar = make("div", { class: "words", role: "toolbar", "aria-label": `Where the words of “${text}” look` });
  const buttons = words.map((one) => said("button", one.word, { type: "button", "aria-pressed": "false", tabindex: -1 }));
  let chosen = 0;
  const choose = (number) => {
    buttons[chosen].tabIndex = -1;
    buttons[chosen].setAttribute("aria-pressed", "false");
    chosen = number;
    buttons[chosen].tabIndex = 0;
    buttons[chosen].setAttribute("aria-pressed", "true");
    show(svg, known, words[number]);
    told.textContent = (several ? `Of “${text}”: ` : "") + toldOf(words[number], known);
  };
  buttons.forEach((button, number) => button.addEventListener("click", () => choose(number)));
  bar.addEventListener("keydown", (event) => {
    const last = buttons.length - 1;
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(Math.min(last, Math.max(0, to)));
    buttons[chosen].focus();
  });
  bar.append(...buttons);
  choose(0);
  return [bar, told];
}

function toldOf(word, known) {
  const regions = topOf(word).map(([region, share]) => `${nameOf(known, region)} (${percent(share)})`);
  return `${word.all ? "all words look" : `“${word.word}” looks`} at ${regions.join(", ")}`;
}

function closer(hit, title, words, known, arm) {
  const dialog = byId("closer");
  byId("closer-name").textContent = title;
  const svg = pictureOf(known, title, arm);
  dialog.querySelector("figure").replaceChildren(svg);
  const facts = [["id", hit.id], ["score", String(hit.score)]];
  if (hit.first_score !== null) facts.push(["first stage", String(hit.first_score)]);
  facts.push(...Object.entries(hit.attributes).map(([name, value]) => [name, String(value)]));
  const list = make("dl", {}, ...facts.flatMap(([name, value]) => [said("dt", name), said("dd", value)]));
  const within = [list];
  if (words.length && known) {
    show(svg, known, words[0]);
    within.push(tableOf(words, known));
  }
  dialog.querySelector(".facts").replaceChildren(...within);
  dialog.showModal();
}

function tableOf(words, known) {
  const heads = ["Word", "Regions that it looks at most"].map((text) => make("th", { scope: "col" }, text));
  const rows = words.map((word) => {
    const regions = topOf(word).map(([region, share]) => `${nameOf(known, region)} (${percent(share)})`);
    return make("tr", {}, said("th", word.word, { scope: "row" }), said("td", regions.join(", ")));
  });
  const caption = make("caption", {}, "Attention of the last layer where words and regions meet, mean of heads");
  return make("table", {}, caption, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}
