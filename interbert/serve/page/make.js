// Elements. All that comes from the server is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function make(tag, set = {}, ...within) {
  return filled(document.createElement(tag), set, within);
}

export function drawn(tag, set = {}, ...within) {
  return filled(document.createElementNS(SVG, tag), set, within);
}

function filled(element, set, within) {
  for (const [name, value] of Object.entries(set)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...within); // strings become text
  return element;
}

/** Its text, and its language where that decides how its characters are drawn. */
export function said(tag, text, set = {}) {
  const han = /\p{Script=Han}/u.test(text) && !/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text);
  return make(tag, { ...set, dir: "auto", lang: han && "zh" }, text);
}

export function percent(share) {
  const fine = share < 0.0995 || (share > 0.99 && share < 1);
  return `${(100 * share).toFixed(fine ? 1 : 0)}\u00a0%`;
}
