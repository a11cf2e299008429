// What is asked of the server: with the key, if it wants one, and as this browser's user.

const KEY = "interbert-key";
const USER = "interbert-user";

export class Refused extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

export const useKey = (key) => sessionStorage.setItem(KEY, key);

let drawn = "";

/** Drawn at random, and the same as long as the browser keeps it: whoever it is sees one model. */
function user() {
  drawn ||= kept(USER);
  if (!drawn) {
    const numbers = crypto.getRandomValues(new Uint32Array(4));
    drawn = Array.from(numbers, (one) => one.toString(16).padStart(8, "0")).join("");
    try {
      localStorage.setItem(USER, drawn);
    } catch {} // a browser that keeps nothing: another user next time
  }
  return drawn;
}

function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return "";
  }
}

async function ask(path, { body, arm, signal, keepalive } = {}) {
  const headers = { "x-user": user() };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (arm) headers["x-arm"] = arm;
  if (body) headers["content-type"] = "application/json";
  const how = { method: body ? "POST" : "GET", headers, signal, keepalive };
  const answer = await fetch(path, { ...how, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return answer;
}

async function reason(answer) {
  const told = await answer.json().catch(() => ({}));
  return told.error || `the server answers ${answer.status}`;
}

export async function info() {
  const [known, trial] = await Promise.all([ask("/info"), ask("/trial")]);
  return { ...(await known.json()), ...(await trial.json()) };
}

export async function search(body, arm, signal) {
  const answer = await ask("/search", { body, arm, signal });
  const { headers } = answer;
  return { ...(await answer.json()), arm: headers.get("x-arm"), search: headers.get("x-search") };
}

/** Its boxes, or null where they are gone. */
export async function look(id, arm) {
  return (await ask(`/looks?id=${encodeURIComponent(id)}`, { arm })).json();
}

/** An address within the page: keys go in headers, which an <image> has not. */
export async function picture(id, arm) {
  const answer = await ask(`/pictures?id=${encodeURIComponent(id)}`, { arm });
  return URL.createObjectURL(await answer.blob());
}

export const tell = (events) => ask("/events", { body: { events }, keepalive: true });
