"use strict";
/* The page of one recorded session. Every recorded value is set as text (textContent), never as markup. */

const recording = JSON.parse(document.getElementById("recording").textContent);
const VERDICTS = { Allow: "allow", RequireApproval: "ask", Deny: "deny", refused: "deny" };

/* Control, bidi and invisible characters as escapes: a recorded text must not look like another one. */
function plain(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  for (const child of children) {
    if (child !== null && child !== undefined && child !== "") element.append(typeof child === "string" ? plain(child) : child);
  }
  return element;
}

const facts = (pairs) => make("dl", "facts", ...pairs.filter(([, value]) => value !== "" && value !== undefined && value !== null)
  .map(([name, value]) => make("div", "fact", make("dt", "", name), make("dd", "", value instanceof Node ? value : String(value)))));

const moment = (text) => text.replace("T", " ").replace("Z", " UTC");
const bytes = (count) => (count < 1024 ? `${count} B` : count < 1048576 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1048576).toFixed(1)} MiB`);
const took = (ms) => (ms < 1000 ? `${ms} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`);
const pill = (row) => make("span", `pill ${VERDICTS[row.verdict] || "deny"}`, row.verdict === "RequireApproval" ? "Approval" : row.verdict);
const statusOf = (row) => make("span", row.status >= 400 || row.status === 0 ? "status bad" : "status", row.status ? String(row.status) : "–");

/* Text with masks marked. */
function marked(text) {
  const out = document.createDocumentFragment();
  let at = 0;
  while (at < text.length) {
    const hits = recording.marks.map((mark) => text.indexOf(mark, at)).filter((index) => index >= 0);
    if (hits.length === 0) break;
    const from = Math.min(...hits);
    let to = from;
    while (to < text.length && !/[\s"'\\,]/.test(text[to])) to++;
    out.append(plain(text.slice(at, from)), make("mark", "", text.slice(from, to)));
    at = to;
  }
  out.append(plain(text.slice(at)));
  return out;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function body(title, message) {
  if (!message) return null;
  const headers = message.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  const note = message.left ? make("p", "note", `${bytes(message.left)} more are not in this page.`) : null;
  if (!headers && !message.body) return null;
  return make("section", "message", make("h4", "", title),
    headers ? make("pre", "headers", headers) : null,
    message.body ? make("pre", "body", marked(pretty(message.body))) : null, note);
}

/* `ADDED Secret shop/db` of a watch event; nothing for other lines. */
function summary(text) {
  try {
    const { type, object } = JSON.parse(text);
    const meta = object.metadata || {};
    return [type, object.kind, [meta.namespace, meta.name].filter(Boolean).join("/"), object.reason, object.message].filter(Boolean).join(" ");
  } catch { return ""; }
}

function stream(row, events) {
  if (!events) return null;
  const list = make("ol", "events");
  for (const event of events.lines) {
    list.append(make("li", event.marker ? "marked" : "",
      make("time", "", `+${((event.time - row.seconds)).toFixed(2)} s`), make("div", "", make("strong", "", event.marker ? "" : summary(event.text)), make("code", "", marked(event.marker || event.text)))));
  }
  const note = events.left ? make("p", "note", `${bytes(events.left)} more are not in this page.`) : null;
  return make("section", "message", make("h4", "", "Stream"), list, note);
}

function details(row) {
  const parts = make("div", "details");
  if (row.message) parts.append(make("p", "said", row.message));
  if (row.note) parts.append(make("p", "said", row.note));
  parts.append(facts([
    ["request", make("code", "wide", `${row.method} ${row.path}`)], ["command", row.argv.length ? make("code", "", row.argv.join(" ")) : ""],
    ["time", moment(row.time)], ["took", `${took(row.milliseconds)}${row.open ? " (its end is not recorded)" : ""}`],
    ["rules", row.rules.join(", ")], ["approval", row.approval], ["masked by", row.masks.join(", ")],
    ["errors", row.errors.join("; ")], ["answered by", row.answeredBy === "upstream" ? "the cluster" : row.answeredBy], ["answer", bytes(row.responseBytes)],
    ["user agent", row.userAgent], ["Audit-ID", make("code", "", row.auditID)],
  ]));
  const cast = recording.casts[row.cast];
  if (cast) parts.append(terminalOf(row, cast));
  parts.append(...[body("Request", recording.messages[row.flow] && recording.messages[row.flow].request),
    body("Answer", recording.messages[row.flow] && recording.messages[row.flow].response), stream(row, recording.streams[row.flow])].filter(Boolean));
  return parts;
}

function terminalOf(row, cast) {
  const player = new Player(cast, make);
  return make("section", "message", make("h4", "", "Terminal"), player.element,
    cast.left ? make("p", "note", `${bytes(cast.left)} more are not in this page.`) : null);
}

function line(row, first, longest) {
  const open = make("button", "open", "▸");
  open.ariaLabel = "details";
  const share = longest ? Math.max(2, (100 * row.milliseconds) / longest) : 0;
  const bar = make("span", "bar");
  bar.style.width = `${share}%`;
  const element = make("tr", `line ${VERDICTS[row.verdict] || "deny"}`,
    make("td", "", open),
    make("td", "time", `+${(row.seconds - first).toFixed(2)} s`),
    make("td", "", pill(row)),
    make("td", "", statusOf(row)),
    make("td", "what", make("code", "", row.request),
      row.cast ? make("span", "tag", "terminal") : null, row.stream ? make("span", "tag", "stream") : null,
      row.masks.length ? make("span", "tag masked", "masked") : null, row.approval ? make("span", "tag ask", "approval") : null),
    make("td", "rules", row.rules.join(", ")),
    make("td", "took", make("span", "", took(row.milliseconds)), make("span", "track", bar)));
  element.querySelector(".time").title = row.time;
  let shown = null;
  element.addEventListener("click", () => {
    if (String(window.getSelection())) return;
    if (shown) { shown.remove(); shown = null; }
    else {
      const cell = make("td", "", details(row));
      cell.colSpan = 7;
      shown = make("tr", "more", cell);
      element.after(shown);
    }
    element.classList.toggle("opened", shown !== null);
    open.textContent = shown ? "▾" : "▸";
    open.ariaExpanded = String(shown !== null);
  });
  return element;
}

function head() {
  const checked = recording.verification;
  const badge = make("p", checked.ok ? "badge good" : "badge bad", checked.ok ? "✔ unchanged when exported" : "✖ changed: see below");
  return make("header", "", make("div", "brand", make("strong", "", "pratique"), make("span", "", "recorded session")),
    make("h1", "", recording.client, make("span", "at", ` on ${recording.cluster || "?"}`)),
    make("p", "tally", recording.tally), badge,
    facts([["session", make("code", "", recording.session)], ["opened", moment(recording.opened)],
      ["closed", recording.closed ? moment(recording.closed) : "still open when exported"], ["from", recording.sourceIP],
      ["continues", recording.continues ? make("code", "", recording.continues) : ""],
      ...Object.entries(recording.claims).map(([name, value]) => [`${name.replaceAll("_", " ")} (claim)`, value])]));
}

function foot() {
  const checked = recording.verification;
  const findings = checked.findings.map((text) => make("li", "", text));
  return make("footer", "", make("h2", "", "Integrity"),
    make("p", "", checked.ok
      ? `${checked.records} records were checked against their hash chain and its signatures when this page was made.`
      : "The recording was changed after it was written:"),
    findings.length ? make("ul", "findings", ...findings) : null,
    facts([["head of the chain", make("code", "", checked.head)], ["exported", moment(recording.exported)], ["by", `pratique ${recording.version}`]]),
    make("p", "note", "This page is a copy and proves nothing by itself: verify the recording with `pratique sessions verify`. Whoever holds the signing key and the disk can write another history; compare the head with one noted elsewhere."));
}

function timeline() {
  const rows = recording.requests;
  const first = rows.length ? Math.min(...rows.map((row) => row.seconds)) : 0;
  const longest = Math.max(0, ...rows.map((row) => row.milliseconds));
  const table = make("table", "", make("thead", "", make("tr", "", ...["", "time", "verdict", "status", "request", "rules", "took"].map((name) => make("th", "", name)))));
  const listed = make("tbody", "", ...rows.map((row) => line(row, first, longest)));
  table.append(listed);
  const lines = [...listed.children];
  const search = make("input", "search");
  Object.assign(search, { type: "search", placeholder: "Search requests, rules, messages…", ariaLabel: "search" });
  const off = new Set();
  const count = make("span", "count");
  const apply = () => {
    const wanted = search.value.toLowerCase();
    let visible = 0;
    rows.forEach((row, index) => {
      const text = [row.request, row.path, row.message, row.note, row.auditID, row.approval, ...row.rules, ...row.argv].join("\n").toLowerCase();
      const shown = !off.has(row.verdict) && text.includes(wanted);
      visible += shown;
      lines[index].hidden = !shown;
      const more = lines[index].nextElementSibling;
      if (more && more.classList.contains("more")) more.hidden = !shown;
    });
    count.textContent = visible === rows.length ? "" : `${visible} of ${rows.length}`;
  };
  search.addEventListener("input", apply);
  const chips = [...new Set(rows.map((row) => row.verdict))].sort().map((verdict) => {
    const chip = make("button", `chip ${VERDICTS[verdict] || "deny"}`, `${verdict} ${rows.filter((row) => row.verdict === verdict).length}`);
    chip.ariaPressed = "true";
    chip.addEventListener("click", () => {
      if (!off.delete(verdict)) off.add(verdict);
      chip.ariaPressed = String(!off.has(verdict));
      apply();
    });
    return chip;
  });
  return make("main", "", make("div", "tools", search, ...chips, count),
    rows.length ? make("div", "scroll", table) : make("p", "note", "No requests were recorded."));
}

document.body.append(head(), timeline(), foot());

/* page.html#12 opens entry 12 of the journal: the number that `pratique/entry` of an audit event names. */
const asked = recording.requests.findIndex((row) => `#${row.entry}` === location.hash);
const terminals = recording.requests.filter((row) => recording.casts[row.cast]);
const opened = asked >= 0 ? asked : terminals.length === 1 ? recording.requests.indexOf(terminals[0]) : -1;
if (opened >= 0) {
  const chosen = document.querySelectorAll("tr.line")[opened];
  chosen.click();
  if (asked >= 0) chosen.scrollIntoView();
}
