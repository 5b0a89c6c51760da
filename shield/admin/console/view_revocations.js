// Revoking tokens, the list of revocations, and lifting one. A revocation of the admin's own token ends
// this session, too.
import { action, column, plain, when, wide } from "./columns.js";
import { confirmed } from "./dialog.js";
import { el, setText } from "./element.js";
import { moment } from "./format.js";
import { showList } from "./list_view.js";
import { card, exact, field } from "./page.js";

const KINDS = [
  ["user", "Tokens of one user"],
  ["token", "One token, by its id (jti)"],
  ["issued-before", "Every token of the tenant"],
];

const parts = () => ({
  kind: field("Revoke", { name: "kind", options: KINDS }),
  tenant: field("Tenant", { name: "tenant", required: true }),
  user: field("User id", { name: "user", maxlength: 256 }),
  token: field("Token id", { name: "token_id", maxlength: 256 }),
  before: field("Issued before", {
    ...{ name: "issued_before", type: "datetime-local", step: 1 },
    hint: "Empty: now. Tokens without an issue time always count as issued before it.",
  }),
  until: field("Stands until", {
    ...{ name: "until", type: "datetime-local", step: 1 },
    hint: "Empty: by auth.revocation_seconds. Choose a time after the tokens expire.",
  }),
  reason: field("Reason, for the record", { name: "reason", maxlength: 256 }),
});

const msOf = ({ input }) => input.value === "" ? undefined : new Date(input.value).getTime();

function bodyOf(fields, now_ms) {
  const kind = fields.kind.input.value;
  const issued_before_ms = msOf(fields.before) ?? (kind === "issued-before" ? now_ms : undefined);
  return {
    tenant: fields.tenant.input.value.trim(),
    ...(kind === "user" ? { user: fields.user.input.value.trim() } : {}),
    ...(kind === "token" ? { token_id: fields.token.input.value.trim() } : {}),
    ...(kind === "token" || issued_before_ms === undefined ? {} : { issued_before_ms }),
    ...(msOf(fields.until) === undefined ? {} : { until_ms: msOf(fields.until) }),
    reason: fields.reason.input.value.trim(),
  };
}

function hitText(body) {
  if (body.token_id !== undefined) return `One token of tenant ${body.tenant} is refused`;
  const whose = body.user === undefined
    ? `Every token of tenant ${body.tenant}`
    : `Every token of user ${body.user} in tenant ${body.tenant}`;
  const before = body.issued_before_ms === undefined
    ? "until now"
    : `before ${moment(body.issued_before_ms)}`;
  return `${whose} that was issued ${before} is refused`;
}

function revokeForm(ctx, onDone) {
  const fields = parts();
  const { only_tenant = "" } = ctx;
  const problem = el("p.problem", { role: "alert" });
  const form = el("form.form", [
    Object.values(fields),
    problem,
    el("div.actions", el("button.danger", { type: "submit" }, "Revoke…")),
  ]);
  const arrange = () => {
    const kind = fields.kind.input.value;
    fields.user.element.hidden = kind !== "user";
    fields.user.input.required = kind === "user";
    fields.token.element.hidden = kind !== "token";
    fields.token.input.required = kind === "token";
    fields.before.element.hidden = kind === "token";
    fields.tenant.input.value ||= only_tenant;
  };
  fields.kind.input.addEventListener("change", arrange);
  arrange();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    setText(problem, "");
    const body = bodyOf(fields, ctx.now());
    const is_done = await confirmed({
      title: "Revoke?",
      text: `${hitText(body)}, on every Shield, and their connections are closed.`,
      confirm: "Revoke",
      act: () => ctx.api.post("/v1/revocations", body),
      done: () => "Revoked.",
    });
    if (!is_done) return;
    form.reset();
    arrange();
    onDone();
  });
  return form;
}

const columns = (lift) => [
  plain("tenant", "Tenant", "tenant", ""),
  plain("kind", "Kind", "kind", ""),
  column("id", "User or token", "id", (id, { kind }) => ({
    text: kind === "issued-before" ? "every token" : id,
    title: id,
  })),
  when("issued_before_ms", "Issued before"),
  column("until_ms", "Stands until", "until_ms", (ms) => (ms === 0 ? "for good" : moment(ms))),
  plain("by", "By", "by", ""),
  wide("reason", "Reason"),
  action(
    "lift",
    "Lift",
    "Lift…",
    ({ kind, id, tenant }) => `Lift the revocation of ${kind} ${id} of ${tenant}`,
    lift,
  ),
];

export function showRevocations(ctx, place) {
  const lift = async ({ tenant, kind, id }) => {
    const query = { tenant, kind, ...(kind === "issued-before" ? {} : { id }) };
    const is_done = await confirmed({
      title: "Lift this revocation?",
      text: `Its tokens are valid again until they expire: ${kind} of ${tenant}.`,
      confirm: "Lift",
      act: () => ctx.api.remove("/v1/revocations", query),
      done: () => "The revocation was lifted.",
    });
    if (is_done) list.load();
  };
  const list = showList(ctx, place, {
    title: "Revocations",
    about: "Invalidates tokens on every Shield, and ends their connections.",
    noun: ["revocation", "revocations"],
    fields: [exact("tenant")],
    above: card("Revoke tokens", revokeForm(ctx, () => list.load())),
    columns: columns(lift),
    key: ({ tenant, kind, id }) => `${tenant}/${kind}/${id}`,
    sort: { id: "until_ms", direction: "descending" },
    empty: "Nothing is revoked.",
    path: "/v1/revocations",
  });
}
