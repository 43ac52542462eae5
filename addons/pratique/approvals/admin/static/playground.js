// The playground: a request, a policy and an answer are tried out as they are typed. Nothing is sent to the cluster.
import { badge, call, clear, el, empty, pairs, section } from "./parts.js";

const PAUSE = 250; // ms after the last key
const EXAMPLE = "DELETE /apis/apps/v1/namespaces/payments/deployments/api";
const STYLES = { Allow: "approved", RequireApproval: "pending", Deny: "denied" };

export async function playground(main, current, refused) {
  const { policies, clients, recorded } = await call("GET", "/api/v1/playground");
  if (!current()) return;
  const out = el("div", { class: "outcome", "aria-live": "polite" });
  const area = (id, rows, placeholder) => el("textarea", { id, rows, placeholder, spellcheck: "false", wrap: "off" });
  const request = area("request", "9", "kubectl delete deployment api\ncurl -X DELETE …\nDELETE /api/v1/namespaces/payments/pods/web");
  const policy = area("policy", "14", "kind: Policy … (empty: the policies that are in force)");
  const answer = area("answer", "7", "What the cluster would answer, as JSON (optional): shown as the client would get it");
  const client = el("select", { id: "client" }, ["demo", ...clients.filter((name) => name !== "demo")].map((name) => el("option", { value: name }, name)));
  const alone = el("input", { id: "alone", type: "checkbox" });
  let number = 0;
  let timer = 0;
  const tryOut = async () => {
    const mine = (number += 1);
    try {
      const said = await call("POST", "/api/v1/playground", {
        request: request.value, policy: policy.value, client: client.value, answer: answer.value, alone: alone.checked,
      });
      if (mine === number && current()) show(out, said);
    } catch (refusal) { refused(refusal); }
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(tryOut, PAUSE); };
  for (const node of [request, policy, answer]) node.addEventListener("input", later);
  for (const node of [client, alone]) node.addEventListener("change", later);
  const pick = picker("pick", "Recorded requests …", recorded.map((row) => `${row.words} · ${row.verdict || "refused"} ${row.status || ""}`), async (index) => {
    const { session, entry } = recorded[index];
    try {
      const found = await call("GET", `/api/v1/playground/recorded/${session}.${entry}`);
      request.value = found.request;
      answer.value = pretty(found.answer);
      if ([...client.options].some((option) => option.value === found.client)) client.value = found.client;
      await tryOut();
    } catch (refusal) { refused(refusal); }
  });
  const choose = picker("choose", "A policy to change …", policies.map((each) => each.name), (index) => { policy.value = policies[index].text; later(); });
  const field = (label, node, ...more) => el("div", { class: "field" }, el("label", { for: node.id }, label), more, node);
  clear(main).append(el("h1", {}, "Playground"),
    el("p", { class: "note" }, "The gateway's own engine, on what you type. Nothing is sent to the cluster."),
    el("div", { class: "sides" },
      el("div", { class: "card" }, field("Request", request, pick), field("As client", client),
        field("Policy", policy, choose, el("span", { class: "check" }, alone, el("label", { for: "alone" }, "instead of all others"))),
        field("Answer", answer)),
      out));
  request.value = EXAMPLE;
  await tryOut();
}

function picker(id, title, names, chosen) {
  const node = el("select", { id, "aria-label": title }, el("option", { value: "" }, title), names.map((name, index) => el("option", { value: String(index) }, name)));
  node.addEventListener("change", () => { if (node.value !== "") chosen(Number(node.value)); node.value = ""; });
  return node;
}

const pretty = (text) => { try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; } };

function show(out, said) {
  clear(out);
  if (said.problems.length) {
    out.append(section("The policy has errors", el("ul", { class: "problems" }, said.problems.map((text) => el("li", {}, text)))));
    return;
  }
  if (said.problem) { out.append(section("This is no request", el("p", { class: "warning" }, said.problem))); return; }
  if (!said.steps.length) { out.append(empty("Nothing to judge yet", "Paste a request, or pick a recorded one.")); return; }
  out.append(...said.steps.map((step) => verdict(step, said.steps.length > 1)));
  if (said.masked) out.append(masked(said.masked));
}

function verdict(step, several) {
  const { refused, attributes: asked } = step;
  const what = asked ? [asked.verb, asked.resource ? `${asked.resource}${asked.subresource ? `/${asked.subresource}` : ""}` : asked.path, asked.name].filter(Boolean).join(" ") : "";
  return el("section", { class: "card verdict" },
    el("div", { class: "head" }, el("strong", { class: "words action" }, refused ? `Refused: ${refused.code}` : step.action),
      el("span", { class: `badge ${refused ? "denied" : STYLES[step.action]}` }, refused ? "malformed" : said(step.action))),
    several && el("p", { class: "facts" }, el("code", {}, step.label)),
    refused && el("p", { class: "warning" }, refused.message),
    step.message && el("p", {}, step.message),
    step.errors.map((text) => el("p", { class: "warning" }, text)),
    pairs([["asks for", what], ["in", asked?.namespace ? `namespace ${asked.namespace}` : ""], ["rules", step.rules.join(", ")],
      ["sent", step.sent && !refused ? el("code", {}, step.sent) : ""], ["assumed", step.assumed.join("; ")]]),
    step.observed.map((one) => el("p", { class: "note" }, `${one.policy} (observed) would say ${one.action}`)),
    step.considered.length > 0 && el("details", { open: !several }, el("summary", {}, `${step.considered.length} rules considered`),
      el("ul", { class: "rules" }, step.considered.map((rule) => el("li", { class: rule.matched ? "matched" : "" },
        el("b", {}, rule.rule), el("span", { class: "badge" }, rule.action), el("small", {}, rule.matched ? `matches · ${rule.position.split("/").pop()}` : rule.reason))))));
}

const said = (action) => ({ Allow: "passes", RequireApproval: "asks a person", Deny: "blocked" }[action]);

function masked(found) {
  const hits = Object.entries(found.hits);
  return section("What the client gets",
    found.problem ? el("p", { class: "warning" }, found.problem) : [
      el("p", { class: "note" }, hits.length ? hits.map(([rule, times]) => `${rule}: ${times}`).join(" · ") : "Nothing more is masked (a recorded answer holds its masks already)."),
      el("pre", { class: "masked", tabindex: "0" }, pretty(found.body))]);
}
