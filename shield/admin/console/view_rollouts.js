// Rollouts: the latest and earlier ones of each tenant, and one tenant's, step by step, with both versions'
// decisions about the same messages, and its commands. A Brain runs it independently of this page.
import { segment } from "./api.js";
import { column, linked, numeric, plain, toned, when, wide } from "./columns.js";
import { confirmed, toast } from "./dialog.js";
import { el, replace, setText } from "./element.js";
import { clock, compact, moment, percent } from "./format.js";
import { showList } from "./list_view.js";
import { badge, card, errorNotice, exact, facts, pageHead, slot, tableCard } from "./page.js";
import { address } from "./router.js";

/** The interval at which an active rollout is read, in ms. */
const LOOK_MS = 2_000;
const TONES = { running: "ok", paused: "warn", applying: "ok", applied: "", returned: "bad" };
const UNDER_WAY = ["running", "paused", "applying"];
/** The commands that a rollout accepts, by its state. */
const ORDERS = { running: ["pause", "abort"], paused: ["resume", "abort"] };
const LABELS = { pause: "Pause", resume: "Resume", abort: "Abort…" };
const NOTICES = {
  pause: "The rollout is paused at its step.",
  resume: "The rollout continues; its step starts again.",
  abort: "The old policies decide again.",
};

const stateColumn = toned("state", "State", "state", (state) => TONES[state] ?? "");
const timeColumn = (id, label) => when(id, label, (row) => row[id] || undefined);
const END_COLUMNS = [
  timeColumn("began_ms", "Begun"),
  timeColumn("ended_ms", "Ended"),
  plain("by", "By"),
  wide("why", "Why it ended"),
];

const LIST_COLUMNS = [
  linked("tenant", "Tenant", "tenant", (id) => address("rollouts", id)),
  stateColumn,
  plain("share", "Share", ({ share }) => share === null ? undefined : percent(share)),
  ...END_COLUMNS,
];

/** Shows the rollouts of the tenants that the admin may see. */
export function showRollouts(ctx, place) {
  showList(ctx, place, {
    title: "Rollouts",
    about: "Changes of policies that take effect in steps. Begin one with arq apply --canary.",
    noun: ["rollout", "rollouts"],
    fields: ctx.only_tenant === undefined ? [exact("tenant")] : [],
    columns: LIST_COLUMNS,
    key: ({ tenant, id }) => `${tenant} ${id}`,
    sort: { id: "began_ms", direction: "descending" },
    empty: "No tenant has had a rollout. Begin one with arq apply --canary.",
    path: "/v1/rollouts",
  });
}

function stepOf({ stage, state }, at) {
  if (at < stage || state === "applied") return { text: "held", tone: "ok" };
  if (at > stage) return { text: state === "returned" ? "never" : "to come", tone: "" };
  return { text: state === "returned" ? "taken back" : state, tone: TONES[state] };
}

const STEP_COLUMNS = [
  numeric("at", "Step"),
  column(
    "share",
    "New policies decide",
    "share",
    (share) => share === 0 ? "nothing: they observe" : `for ${percent(share)}`,
    { sortable: false },
  ),
  column("how", "State", ({ step }) => step.text, (_text, { step }) => step, { sortable: false }),
];

const CONDITION_COLUMNS = [
  plain("condition", "Taken back if"),
  column(
    "held",
    "State",
    "breach",
    (breach) => breach === undefined ? { text: "held", tone: "ok" } : { text: breach, tone: "bad" },
  ),
];

const TALLY_COLUMNS = [
  plain("name", "Policy"),
  numeric("compared", "Messages", "compared", undefined, "Judged by both versions"),
  numeric("enforced", "By the new", "enforced", undefined, "Decided by the new version"),
  numeric("refused", "Refuses more"),
  numeric("passed", "Passes more"),
  numeric("faults", "Fails more"),
  numeric("old", "Fuel p99, old", ({ fuel }) => fuel.old.p99, compact),
  numeric("new", "Fuel p99, new", ({ fuel }) => fuel.new.p99, compact),
];

const SAMPLE_COLUMNS = [
  timeColumn("at_ms", "When"),
  plain("policy", "Policy"),
  plain("would", "The new one would"),
  plain("user", "User"),
  plain("room", "Room", ({ room }) => room || undefined),
  wide("reason", "Reason"),
];

function nodeCell(_order, { problem, silent }) {
  if (problem !== null) return { text: "does not run it", tone: "bad", title: problem };
  return silent ? { text: "silent", tone: "warn" } : { text: "runs it", tone: "ok" };
}

const NODE_COLUMNS = [
  plain("node_id", "Shield"),
  numeric("stage", "At step"),
  column("state", "State", ({ problem, silent }) => problem ?? String(silent), nodeCell),
  wide("problem", "Problem"),
];

const PAST_COLUMNS = [stateColumn, ...END_COLUMNS];

function aboutOf({ rollout, share, waits }) {
  const { id, by, began_ms, state, ended, changed } = rollout;
  return facts([
    ["State", badge(state, TONES[state])],
    ["Rollout", id],
    ["Begun", `${moment(began_ms)} by ${by}`],
    ["Policies that change", changed.join(", ")],
    ["New policies decide for", percent(share)],
    ...(waits === "" ? [] : [["Waits", waits]]),
    ...(ended === null ? [] : [["Ended", moment(ended.at_ms)]]),
    ...(!ended?.why ? [] : [["Why", ended.why]]),
  ]);
}

function samplesOf({ tallies }) {
  return tallies.flatMap(({ name, samples }) =>
    samples.map((sample, at) => ({ ...sample, policy: name, at }))
  );
}

const tableOf = (title, columns, key, empty) =>
  tableCard(title, { columns, key: (row) => String(row[key]), empty });

/** One tenant's rollout, read periodically while it is active. */
class RolloutView {
  #ctx;
  #tenant;
  #timer;
  #is_reading = false;
  /** The current content, so that unchanged parts are not redrawn. */
  #shown = "";
  /** The id of the shown rollout: another one may have begun since. */
  #id = "";
  #trouble = slot();
  #status = el("p.hint", { role: "status" }, "Loading…");
  #buttons = Object.fromEntries(
    Object.entries(LABELS).map(([order, label]) => [
      order,
      el("button", { hidden: true, onclick: () => this.#give(order) }, label),
    ]),
  );
  #about = el("div");
  #tables = {
    steps: tableOf("Steps", STEP_COLUMNS, "at", "None."),
    conditions: tableOf("Conditions", CONDITION_COLUMNS, "condition", "None."),
    tallies: tableOf("Counts", TALLY_COLUMNS, "name", "No message has been judged yet."),
    samples: tableCard("Samples", {
      columns: SAMPLE_COLUMNS,
      key: ({ policy, would, at, at_ms }) => [policy, would, at, at_ms].join(" "),
      empty: "Both versions decided alike.",
    }),
    nodes: tableOf("Shields", NODE_COLUMNS, "node_id", "None reports: it has ended or just begun."),
    past: tableOf("Earlier rollouts", PAST_COLUMNS, "id", "This is the tenant's first one."),
  };
  #content;

  constructor(ctx, place, tenant) {
    this.#ctx = ctx;
    this.#tenant = tenant;
    this.#content = el("div.stack", { hidden: true }, [
      card("Rollout", this.#about),
      Object.values(this.#tables),
    ]);
    const refresh = el("button", { onclick: () => this.load() }, "Refresh");
    place.append(
      pageHead({
        title: `Rollout of ${tenant}`,
        crumb: { href: "#/rollouts", text: "Rollouts" },
        actions: [...Object.values(this.#buttons), refresh],
      }),
      el("div.stack", this.#trouble, this.#status, this.#content),
    );
    this.load();
  }

  get #path() {
    return `/v1/rollouts/${segment(this.#tenant)}`;
  }

  /** Reads the rollout and shows it. Never rejects. */
  async load() {
    if (this.#is_reading) return;
    this.#is_reading = true;
    clearTimeout(this.#timer);
    const { api, signal } = this.#ctx;
    try {
      const view = await api.get(this.#path, {}, signal);
      if (!signal.aborted) this.#show(view);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404) return this.#showNone();
      this.#trouble.show(errorNotice(error, () => this.load()));
      this.#later();
    } finally {
      this.#is_reading = false;
    }
  }

  /** Stops reading. */
  close() {
    clearTimeout(this.#timer);
  }

  /** A hidden tab sends no requests. */
  #later() {
    this.#timer = setTimeout(() => {
      if (document.visibilityState === "visible") this.load();
      else this.#later();
    }, LOOK_MS);
  }

  #showNone() {
    this.#trouble.show();
    setText(this.#status, "This tenant has had no rollout. Begin one with arq apply --canary.");
    this.#status.className = "empty";
  }

  #show(view) {
    const { rollout, tallies, nodes } = view;
    const { shares, state, ended, conditions, past } = rollout;
    const { steps, conditions: held, tallies: counted, samples, nodes: shields } = this.#tables;
    this.#trouble.show();
    const shown = JSON.stringify(view);
    if (shown !== this.#shown) replace(this.#about, aboutOf(view));
    this.#shown = shown;
    this.#id = rollout.id;
    steps.show(shares.map((share, at) => ({ at, share, step: stepOf(rollout, at) })));
    held.show(conditions.map((condition) => ({
      condition,
      breach: ended?.condition === condition ? `violated by ${ended.policy}` : undefined,
    })));
    counted.show(tallies);
    samples.show(samplesOf(view));
    shields.show(nodes);
    this.#tables.past.show(past);
    for (const [order, button] of Object.entries(this.#buttons)) {
      button.hidden = !(ORDERS[state] ?? []).includes(order);
    }
    this.#content.hidden = false;
    const is_under_way = UNDER_WAY.includes(state);
    const words = is_under_way ? "Live." : `Read at ${clock(this.#ctx.now())}.`;
    setText(this.#status, words);
    if (is_under_way) this.#later();
  }

  async #give(order) {
    const path = `${this.#path}/${order}?rollout=${this.#id}`;
    const act = () => this.#ctx.api.post(path);
    const done = () => NOTICES[order];
    if (order === "abort") {
      const is_done = await confirmed({
        title: `Abort the rollout of ${this.#tenant}?`,
        text: "The old policies decide again on every Shield at once. Connections stay open.",
        confirm: "Abort rollout",
        ...{ act, done },
      });
      if (!is_done) return;
    } else {
      await act().then(() => toast(done(), "ok"), (error) => toast(error.message, "bad"));
    }
    this.load();
  }
}

export function showRollout(ctx, place, { tenant_id }) {
  const view = new RolloutView(ctx, place, tenant_id);
  return () => view.close();
}
