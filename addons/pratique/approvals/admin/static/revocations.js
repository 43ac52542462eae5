// The page of revocations: what is cut off, lifting it, cutting off.
import { badge, call, clear, el, empty, now, span, time, toast } from "./parts.js";

export async function revocations(main, current, refused) {
  const draw = async () => {
    const { revocations: found } = await call("GET", "/api/v1/revocations?show=all");
    if (!current()) return;
    const stands = found.filter((each) => each.inForce);
    const ended = found.filter((each) => !each.inForce);
    clear(main).append(el("h1", {}, "Revoked"),
      stands.length ? el("div", { class: "list" }, stands.map((each) => item(each, draw, refused)))
        : empty("Nobody is cut off", "Whoever is revoked is refused within a second, and what they have open ends."),
      form(draw, refused),
      ended.length && el("h1", { class: "second" }, "Ended"),
      ended.length && el("div", { class: "list" }, ended.map((each) => item(each, draw, refused))));
  };
  await draw();
}

const words = (each) => (each.kind === "all" ? "Everybody (kill switch)" : `${each.kind} ${each.name}`);

function item(each, draw, refused) {
  const lift = async () => {
    try {
      await call("POST", `/api/v1/revocations/${each.id}/lift`, {});
      toast("Lifted.");
    } catch (refusal) { refused(refusal); }
    await draw().catch(refused);
  };
  const end = each.liftedBy ? `lifted by ${each.liftedBy}` : each.until === null ? "until it is lifted"
    : each.inForce ? `ends in ${span(each.until - now())}` : "ended";
  return el("div", { class: `item card ${each.inForce ? "danger" : ""}` },
    el("div", { class: "head" }, el("strong", { class: "words" }, words(each)), badge(each.inForce ? "revoked" : "expired")),
    el("div", { class: "facts" }, el("span", {}, `by ${each.by} `, time(each.at)), el("span", {}, end),
      each.reason && el("span", {}, each.reason), el("span", {}, each.id)),
    each.inForce && el("button", { class: "approve small", type: "button", onclick: lift }, "Lift"));
}

function form(draw, refused) {
  const kind = el("select", { id: "kind" }, ["client", "session", "all"].map((each) => el("option", { value: each }, each)));
  const name = el("input", { id: "target", maxlength: "253", placeholder: "name of the client, id of the session", spellcheck: "false" });
  const reason = el("input", { id: "reason", maxlength: "500", placeholder: "Reason (kept; told to the client)" });
  const send = async (event) => {
    event.preventDefault();
    try {
      await call("POST", "/api/v1/revocations", { kind: kind.value, name: kind.value === "all" ? "" : name.value.trim(), reason: reason.value.trim() });
      toast("Revoked.");
    } catch (refusal) { refused(refusal); }
    await draw().catch(refused);
  };
  return el("form", { class: "card", onsubmit: send },
    el("div", { class: "fields" },
      el("label", { for: "kind", class: "hidden" }, "What"), kind,
      el("label", { for: "target", class: "hidden" }, "Name"), name,
      el("label", { for: "reason", class: "hidden" }, "Reason"), reason),
    el("div", { class: "buttons" }, el("button", { class: "deny", type: "submit", id: "revoke" }, "Revoke")));
}
