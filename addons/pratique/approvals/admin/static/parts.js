// Parts of the page: elements, times, calls. Text only ever becomes text: `textContent`, never markup.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const clear = (node) => { node.textContent = ""; return node; };

// --- calls ---

let skew = 0; // seconds that the gateway's clock is ahead of this one

export class Refusal extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

export async function call(method, path, body) {
  const options = { method, credentials: "same-origin", headers: {} };
  if (method !== "GET") {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body ?? {});
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal(0, "The gateway does not answer.");
  }
  const date = Date.parse(response.headers.get("Date") || "");
  if (date) skew = date / 1000 - Date.now() / 1000;
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer.error?.message || `The gateway answered ${response.status}.`);
  return answer;
}

// --- times ---

export const now = () => Date.now() / 1000 + skew;

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

export const ago = (at) => (now() - at < 5 ? "just now" : `${span(now() - at)} ago`);

export function time(at, text) {
  const date = new Date(at * 1000);
  return el("time", { datetime: date.toISOString(), title: date.toLocaleString() }, text ?? ago(at));
}

// --- small things ---

const STATES = {
  pending: "waits", approved: "approved", denied: "denied", expired: "expired",
  cancelled: "cancelled", used: "done", revoked: "revoked",
};

export const badge = (state) => el("span", { class: `badge ${state}` }, STATES[state] || state);

export const section = (title, ...children) => el("section", { class: "card" }, el("h2", {}, title), ...children);

export const empty = (title, text) => el("div", { class: "empty" }, el("p", { class: "big" }, title), el("p", {}, text));

export function pairs(rows) {
  return el("dl", {}, rows.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

export function toast(text, isBad = false) {
  const node = document.getElementById("toast");
  node.textContent = text;
  node.className = isBad ? "bad" : "";
  node.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { node.hidden = true; }, 6000);
}
