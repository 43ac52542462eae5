// The reviewers' page: what waits, one approval, grants, history. It shows what the API says and sends decisions.
import { Refusal, ago, badge, call, clear, el, empty, now, pairs, section, span, time, toast } from "./parts.js";
import { playground } from "./playground.js";
import { revocations } from "./revocations.js";

const REFRESH = 2000; // ms; nothing is asked while the page is hidden
const main = document.getElementById("main");
let me = null;
let timer = 0;
let visit = 0; // a page that was left does not draw any more

// --- frame ---

function frame(page) {
  document.getElementById("bar").hidden = !me;
  if (me) document.getElementById("name").textContent = me.reviewer;
  document.getElementById("play").hidden = !me?.playground;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function count(number) {
  const node = document.getElementById("count");
  node.hidden = !number;
  node.textContent = number;
  document.title = number ? `(${number}) pratique · approvals` : "pratique · approvals";
}

async function repeat(mine, draw) {
  clearTimeout(timer);
  const again = async () => {
    if (mine !== visit) return;
    if (!document.hidden) {
      try { await draw(); } catch (refusal) { if (mine === visit) refused(refusal); }
    }
    if (mine === visit) timer = setTimeout(again, REFRESH);
  };
  await again();
}

function refused(refusal) {
  if (refusal instanceof Refusal && refusal.code === 401) { me = null; login(); return; }
  toast(refusal.message || "That did not work.", true);
}

// --- log in ---

function login(message = "") {
  visit += 1;
  frame(null);
  const key = el("input", {
    type: "password", id: "key", name: "password", autocomplete: "current-password", required: true,
    placeholder: "pratique-reviewer_…", spellcheck: "false",
  });
  const error = el("p", { class: "error", role: "alert" }, message);
  const send = async (event) => {
    event.preventDefault();
    error.textContent = "";
    try {
      me = await call("POST", "/api/v1/login", { key: key.value.trim() });
      key.value = "";
      route();
    } catch (refusal) { error.textContent = refusal.message; }
  };
  clear(main).append(el("form", { class: "login card", onsubmit: send },
    el("img", { src: "/icon.svg", alt: "", width: "52", height: "52" }),
    el("h1", {}, "Approvals"),
    el("p", {}, "Log in with your reviewer's key."),
    el("input", { type: "text", name: "username", autocomplete: "username", value: "reviewer", hidden: true }),
    el("label", { for: "key" }, "Key"), key, error,
    el("button", { class: "approve", type: "submit" }, "Log in")));
  key.focus();
}

async function logout() {
  try { await call("POST", "/api/v1/logout"); } catch { /* the session may have ended already */ }
  me = null;
  login();
}

// --- lists ---

const DANGER = /^(delete|deletecollection|evict)/;

function item(row, isOpen) {
  const facts = [row.client];
  if (row.namespace) facts.push(`namespace ${row.namespace}`);
  facts.push(isOpen ? `asked ${ago(row.createdAt)}` : row.closedAt ? ago(row.closedAt) : "");
  if (row.decidedBy.length) facts.push(`by ${row.decidedBy.join(", ")}`);
  if (row.grantId) facts.push("by a grant");
  if (row.quorum > 1) facts.push(`${row.approvals} of ${row.quorum} approvals`);
  const left = row.expiresAt - now();
  return el("a", { class: `item card ${DANGER.test(row.verb) ? "danger" : ""}`, href: `/a/${row.id}` },
    el("div", { class: "head" }, el("strong", { class: "words" }, row.words), row.state !== "pending" && badge(row.state)),
    el("div", { class: "facts" }, facts.filter(Boolean).map((fact) => el("span", {}, fact)),
      isOpen && el("span", { class: left < 300 ? "soon" : "" }, `expires in ${span(left)}`)),
    isOpen && (row.held || row.hints.length > 0) && el("div", { class: "hints" },
      row.held && el("span", { class: "held" }, "client waits on the line"),
      row.hints.map((hint) => el("span", { class: "chip" }, hint))));
}

async function list(mine) {
  frame("");
  await repeat(mine, async () => {
    const { approvals } = await call("GET", "/api/v1/approvals?show=open");
    if (mine !== visit) return;
    const pending = approvals.filter((row) => row.state === "pending");
    const granted = approvals.filter((row) => row.state === "approved");
    count(pending.length);
    clear(main).append(
      el("h1", {}, "Waiting for a decision"),
      pending.length ? el("div", { class: "list" }, pending.map((row) => item(row, true)))
        : empty("Nothing waits", "Requests that a policy wants a person for appear here by themselves."),
      ...(granted.length ? [el("h1", { class: "second" }, "Approved, not done yet"),
        el("div", { class: "list" }, granted.map((row) => item(row, true)))] : []));
  });
}

async function history(mine) {
  frame("history");
  await repeat(mine, async () => {
    const { approvals } = await call("GET", "/api/v1/approvals?show=closed");
    if (mine !== visit) return;
    clear(main).append(el("h1", {}, "History"),
      approvals.length ? el("div", { class: "list" }, approvals.map((row) => item(row, false)))
        : empty("Nothing yet", "Decided, expired and used approvals are kept here."));
  });
}

async function grants(mine) {
  frame("grants");
  const draw = async () => {
    const { grants: found } = await call("GET", "/api/v1/grants?show=all");
    if (mine !== visit) return;
    clear(main).append(el("h1", {}, "Grants"),
      found.length ? el("div", { class: "list" }, found.map((grant) => grantItem(grant, draw)))
        : empty("No grants", "An approval for some minutes, or for a session, appears here and can be taken back."));
  };
  await draw();
}

function grantItem(grant, draw) {
  const revoke = async () => {
    try {
      await call("POST", `/api/v1/grants/${grant.id}/revocation`, { nonce: grant.nonce });
      toast("Revoked. Streams that it opened are being closed.");
    } catch (refusal) { refused(refusal); }
    await draw().catch(refused);
  };
  const until = grant.live ? `ends in ${span(grant.expiresAt - now())}` : grant.revokedBy ? `revoked by ${grant.revokedBy}` : "ended";
  return el("div", { class: "item card" },
    el("div", { class: "head" }, el("strong", { class: "words" }, grant.words), badge(grant.live ? "approved" : "expired")),
    el("div", { class: "facts" }, el("span", {}, grant.client), el("span", {}, until),
      el("span", {}, `used ${grant.uses} ${grant.uses === 1 ? "time" : "times"}`),
      el("span", {}, `by ${grant.reviewers.join(", ")}`),
      el("a", { href: `/a/${grant.approval}` }, "the approval")),
    grant.live && el("button", { class: "deny small", type: "button", onclick: revoke }, "Revoke"));
}

// --- one approval ---

async function one(mine, id) {
  frame(null);
  let drawn = "";
  await repeat(mine, async () => {
    const shown = await call("GET", `/api/v1/approvals/${id}`);
    // What somebody is writing is not taken from them; a decision on what has changed since is refused anyway.
    const state = JSON.stringify([shown.row.state, shown.row.held, shown.row.approvals, shown.row.withdrawn, shown.decisions]);
    if (mine !== visit || state === drawn || (drawn && document.getElementById("reason")?.value)) return;
    drawn = state;
    show(shown, id);
  });
}

function show(shown, id) {
  clear(main).append(detail(shown, id));
}

function detail(shown, id) {
  const { row } = shown;
  const redraw = (answer) => {
    show(answer, id);
    window.scrollTo({ top: 0 });
  };
  return el("article", {},
    el("a", { class: "back", href: "/" }, "‹ All that wait"),
    el("header", { class: "title" }, el("h1", { class: "words" }, row.words), badge(row.state)),
    el("p", { class: "facts" }, el("span", {}, `cluster ${row.cluster}`), el("span", {}, row.id),
      row.held && el("span", { class: "held" }, "the client waits on the line"),
      el("span", {}, row.attempts === 1 ? "asked once" : `asked ${row.attempts} times, last ${ago(row.lastAttemptAt)}`),
      row.state === "pending" && el("span", {}, `expires in ${span(row.expiresAt - now())}`)),
    related(shown),
    risks(shown.effect),
    effect(shown.effect),
    section("Who asks", el("ul", { class: "claims" }, shown.who.map((claim) => el("li", { class: claim.proved ? "proved" : "claimed" },
      el("span", { class: "mark", "aria-hidden": "true" }, claim.proved ? "✓" : "?"),
      el("div", {}, el("b", {}, claim.what), " ", el("span", { class: "value" }, claim.value), el("small", {}, claim.trust)))))),
    section("Why a person is asked", pairs([
      ["reason", shown.message], ["rules", shown.rules.join(", ")],
      ["who may", shown.reviewers.join(", ") || "any reviewer"],
      ["needed", row.quorum > 1 ? `${row.quorum} people, ${row.approvals} so far` : ""],
    ])),
    section("The request", pairs([["call", el("code", {}, `${shown.method} ${shown.path}`)]]),
      shown.body && el("details", {}, el("summary", {}, `Body, masked (${shown.body.length} characters)`), el("pre", {}, pretty(shown.body)))),
    shown.decisions.length > 0 && section("Decisions", el("ul", { class: "decisions" }, shown.decisions.map((each) => el("li", {},
      badge(each.decision === "approve" ? "approved" : "denied"), " ", el("b", {}, each.reviewer), " ", time(each.at),
      each.grant.kind !== "once" && el("small", {}, `for ${span(each.grant.seconds)}: ${each.grant.words || "exactly this request"}`),
      each.reason && el("q", {}, each.reason))))),
    row.state === "pending" ? decision(shown, redraw, id) : revocation(shown, redraw, id));
}

function related(shown) {
  const lines = [];
  if (shown.supersedes) lines.push(["It replaces ", el("a", { href: `/a/${shown.supersedes}` }, shown.supersedes), ": the same client asked for something else on the same object shortly before (kubectl apply does that after a conflict)."]);
  if (shown.repeats) lines.push(["The same request was done before: ", el("a", { href: `/a/${shown.repeats}` }, shown.repeats), ". Its client may not have got the answer."]);
  if (shown.note) lines.push([shown.note]);
  if (shown.row.grantId) lines.push(["A grant approved it: ", el("a", { href: "/grants" }, shown.row.grantId), "."]);
  if (shown.row.withdrawn) lines.push(["It was taken back after it was used; what it had opened was closed."]);
  return lines.length > 0 && el("div", { class: "notice" }, lines.map((line) => el("p", {}, line)));
}

function risks(found) {
  if (!found?.risks.length) return null;
  return section("Look at this first", el("ul", { class: "risks" },
    found.risks.map((risk) => el("li", {}, el("b", {}, risk.what), el("span", { class: "value" }, risk.value)))));
}

function effect(found) {
  if (!found) return null;
  if (!found.known) {
    return section("What it would do", el("p", { class: "warning" }, "This could not be found out: ", found.problem, ". Approve it only if you know."));
  }
  const objects = found.objects.length > 0 && el("ul", { class: "objects" }, found.objects.map((each) => el("li", {},
    el("span", { class: "kind" }, each.kind),
    el("span", { class: "value" }, each.namespace ? `${each.namespace}/${each.name}` : each.name),
    el("span", { class: "uid" }, each.uid ? `uid ${each.uid}` : "new"))));
  const more = found.total - found.objects.length;
  const cascade = found.cascade.reduce((sum, each) => sum + each.number, 0);
  return section("What it would do",
    found.notes.map((note) => el("p", { class: "note" }, note)),
    objects,
    more > 0 && el("p", { class: "warning" }, `and ${more} more`),
    (cascade > 0 || !found.cascadeComplete) && el("div", { class: "cascade" },
      el("b", {}, `${found.cascadeComplete ? "" : "at least "}${cascade} ${cascade === 1 ? "object goes" : "objects go"} with it`),
      el("span", {}, found.cascade.map((each) => el("span", { class: "chip" }, `${each.number} × ${each.kind}`)))),
    found.difference.length > 0 && el("pre", { class: "diff", tabindex: "0" }, found.difference.map((line) =>
      el("span", { class: { "+": "add", "-": "cut", "@": "gap" }[line[0]] || "same" }, line === "@" ? "⋯" : line, "\n"))),
    found.leftOut > 0 && el("p", { class: "warning" }, `${found.leftOut} more lines are not shown`));
}

const pretty = (text) => {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
};

// --- deciding ---

const LENGTHS = [["10 minutes", 600], ["1 hour", 3600], ["4 hours", 14400]];
const WIDTHS = { once: 0, session: 1, duration: 2 };

function choices(shown) {
  const { scope, widestGrant } = shown;
  const found = [["Approve once: exactly this request", { kind: "once" }]];
  const width = WIDTHS[widestGrant];
  const wide = scope.resource && !scope.resource.includes("/");
  const what = `${scope.verb} ${scope.resource}`;
  if (width >= 1) {
    found.push(["Approve this request until the client's session ends", { kind: "session", seconds: 28800 }]);
    if (wide) found.push([`Approve any ${what} in ${scope.namespace || "the cluster"} until the session ends`, { kind: "session", seconds: 28800, scope: { name: "*" } }]);
  }
  if (width >= 2) {
    for (const [words, seconds] of LENGTHS) found.push([`Approve this request for ${words}`, { kind: "duration", seconds }]);
    if (wide) for (const [words, seconds] of LENGTHS) found.push([`Approve any ${what} in ${scope.namespace || "the cluster"} for ${words}`, { kind: "duration", seconds, scope: { name: "*" } }]);
  }
  return found;
}

function decision(shown, redraw, id) {
  if (shown.whyNot) return el("p", { class: "notice" }, `You cannot decide this: ${shown.whyNot}.`);
  const offered = choices(shown);
  const grant = el("select", { id: "grant" }, offered.map(([words], index) => el("option", { value: index }, words)));
  const reason = el("textarea", { id: "reason", rows: "1", maxlength: "2000", placeholder: "Reason (optional; kept)" });
  const buttons = [];
  const send = (what) => async () => {
    for (const button of buttons) button.disabled = true;
    const body = { decision: what, nonce: shown.nonce, reason: reason.value.trim() };
    if (what === "approve") body.grant = offered[grant.selectedIndex][1];
    try {
      const answer = await call("POST", `/api/v1/approvals/${id}/decision`, body);
      toast(what === "deny" ? "Denied." : answer.row.state === "approved" || answer.row.state === "used" ? "Approved." : "Counted. More people are needed.");
      await redraw(answer);
    } catch (refusal) {
      refused(refusal);
      if (refusal.code === 409 || refusal.code === 403) route();
      for (const button of buttons) button.disabled = false;
    }
  };
  buttons.push(
    el("button", { class: "deny", type: "button", id: "deny", onclick: send("deny") }, "Deny"),
    el("button", { class: "approve", type: "button", id: "approve", onclick: send("approve") }, "Approve"));
  return el("section", { class: "card decide", "aria-label": "Decide" },
    el("div", { class: "fields" },
      offered.length > 1 && el("label", { for: "grant", class: "hidden" }, "What is approved"), offered.length > 1 && grant,
      el("label", { for: "reason", class: "hidden" }, "Reason"), reason),
    el("div", { class: "buttons" }, buttons));
}

function revocation(shown, redraw, id) {
  const { row } = shown;
  if (row.withdrawn || !["approved", "used"].includes(row.state)) return null;
  const revoke = async () => {
    try {
      await redraw(await call("POST", `/api/v1/approvals/${id}/revocation`, { nonce: shown.nonce }));
      toast("Taken back.");
    } catch (refusal) { refused(refusal); if (refusal.code === 409) route(); }
  };
  return el("section", { class: "card decide" },
    el("p", {}, row.state === "approved" ? "It is approved and not done yet." : "It was done. Taking it back ends its grants and closes the streams that it opened."),
    el("div", { class: "buttons" }, el("button", { class: "deny", type: "button", onclick: revoke }, "Take it back")));
}

// --- routes ---

async function link(mine) {
  const token = location.hash.slice(1);
  window.history.replaceState(null, "", "/link");
  const { approval } = await call("POST", "/api/v1/links", { token });
  if (mine !== visit) return;
  window.history.replaceState(null, "", `/a/${approval}`);
  route();
}

async function route() {
  clearTimeout(timer);
  visit += 1;
  const mine = visit;
  const path = location.pathname;
  try {
    if (!me) me = await call("GET", "/api/v1/me");
    if (mine !== visit) return;
    if (path === "/history") await history(mine);
    else if (path === "/grants") await grants(mine);
    else if (path === "/revocations") { frame("revocations"); await revocations(main, () => mine === visit, refused); }
    else if (path === "/playground") { frame("playground"); await playground(main, () => mine === visit, refused); }
    else if (path === "/link") await link(mine);
    else if (path.startsWith("/a/")) await one(mine, path.slice(3));
    else await list(mine);
  } catch (refusal) {
    if (refusal instanceof Refusal && refusal.code === 401) { me = null; login(); return; }
    frame(null);
    clear(main).append(empty("That did not work", refusal.message), el("p", { class: "center" }, el("a", { href: "/" }, "All that wait")));
  }
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("a[href^='/']");
  if (!target || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  window.history.pushState(null, "", target.getAttribute("href"));
  route();
  main.focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
});
document.getElementById("me").addEventListener("click", logout);
document.addEventListener("visibilitychange", () => { if (!document.hidden && me && !/^\/(a\/|revocations|playground)/.test(location.pathname)) route(); });
window.addEventListener("popstate", route);
route();
