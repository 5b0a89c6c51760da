/**
 * `arq apply`: puts a folder or a plan in force. A tenant's folder is one step; a folder of the whole bus is its
 * schemas, then one step for each tenant. Schemas are stored first and come into force with the step. Steps made before
 * a refused tenant stay, and the outcome of each is reported; repeating the command continues from there.
 */
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { membersOf } from "../../answers/policy_text.ts";
import type { Desired } from "../../desired/form.ts";
import { decodePlan, type PlanBasis } from "../../desired/plan_file.ts";
import { changesText, notesText } from "../../desired/plan_text.ts";
import { CommandError, EXIT, failed, printable, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { type Ended, type Io, note, print, resolvePath } from "../../terminal/io.ts";
import { changedLists, newModules, statePath } from "./live_state.ts";
import { appliedOf, checksText, compare, compareBus, othersText, readBusFolder } from "./plan.ts";
import type { Compared } from "./plan.ts";
import { isBusFolder, readFolder } from "./read_folder.ts";
import { schemaPath } from "../schema/schema_push.ts";
import { requireFree, rolloutPath, takeBack, watchRollout } from "./rollout.ts";
import type { Flags } from "../../program/flags.ts";
import { ArqonError } from "@arqon/proto";
import { requireMeant } from "../../rooms/unreachable.ts";

/** Minimum time of a rollout's step in seconds, unless --for is given. */
const HOLD_SECONDS = 600;

/** The wanted state of a folder or a plan; a plan also has the basis it was made on. */
async function readTarget(io: Io, target: string): Promise<Desired & Partial<PlanBasis>> {
  const state = await io.files.state(resolvePath(io.cwd, target));
  if (state === undefined || state.is_directory) return await readFolder(io, target);
  const plan = decodePlan(await readInput(io, target));
  if (plan !== undefined) return plan;
  const hint = `${io.arq} plan DIR --out ${target} writes one`;
  throw failed(`${target} is neither a folder nor a plan`, hint);
}

function stale(): CommandError {
  return failed(
    "the plan is stale, nothing was changed: the bus has changed since the plan was made",
    "make a new one: arq plan DIR --out FILE",
  );
}

/** Throws when the bus has changed since the plan was made. */
function requireFresh(planned: Partial<PlanBasis>, compared: Compared): void {
  if (planned.basis === undefined) return;
  const { basis, schema_basis, rollout, changes } = compared;
  const has_documents = changes.some(({ kind }) =>
    kind === "hooks" || kind === "schedules" || kind === "reducers"
  );
  const is_same = planned.rollout === rollout &&
    (!has_documents || planned.basis.documents === basis.documents) &&
    planned.basis.settings === basis.settings &&
    planned.basis.policies === basis.policies &&
    Object.entries(schema_basis).every(([id, version]) => planned.schema_basis?.[id] === version);
  if (!is_same) throw stale();
}

/** A tenant's folder, or the schemas of the bus, compared with the bus. */
interface Applying {
  readonly admin: Admin;
  readonly desired: Desired;
  readonly compared: Compared;
}

/** A stored version, which comes into force with the apply that names it. */
interface StagedSchema {
  readonly schema_id: string;
  readonly version: number;
  readonly sha256: string;
  readonly compatibility?: string;
}

/** Uploads the modules that the bus does not have yet. */
async function uploadModules({ admin, desired, compared }: Applying): Promise<void> {
  for (const { body, upload } of newModules(desired, compared)) {
    await admin.ask({ method: "PUT", path: upload, body, content_type: "application/wasm" });
  }
}

/** The request that makes the changes. */
function applyBody(
  { wanted, changes, basis }: Compared,
  schemas: readonly StagedSchema[] = [],
): string {
  const lists = changedLists(wanted, changes);
  return JSON.stringify({ basis, ...lists, ...(schemas.length === 0 ? {} : { schemas }) });
}

/** Stores the changed schemas. Rejects when a new version appeared since the comparison. */
async function stageSchemas({ admin, desired, compared }: Applying): Promise<StagedSchema[]> {
  const { state, sets } = desired;
  const { schema_basis } = compared;
  const staged: StagedSchema[] = [];
  for (const { id, compatibility } of state.schemas ?? []) {
    const body = sets.get(id);
    if (!Object.hasOwn(schema_basis, id) || body === undefined) continue;
    const { after, version, sha256 } = await admin.ask({
      method: "PUT",
      path: schemaPath(id, "/staged", { compatibility }),
      body,
      content_type: "application/gzip",
    });
    if (after !== schema_basis[id]) throw stale();
    staged.push({
      schema_id: id,
      version: Number(version),
      sha256: String(sha256),
      ...(compatibility === undefined ? {} : { compatibility }),
    });
  }
  return staged;
}

/** Makes the changes of a tenant's folder in one step. Rejects as `Admin.ask` does. */
async function make(applying: Applying): Promise<Record<string, unknown>> {
  const { admin, desired, compared } = applying;
  await uploadModules(applying);
  const body = applyBody(compared, await stageSchemas(applying));
  return await admin.ask({ method: "PUT", path: statePath(desired.tenant), body });
}

/** Throws for canary options without a canary, and for changes that a canary cannot roll out. */
function requireCanary(io: Io, flags: Flags, { changes }: Compared): void {
  const { canary, for: hold_seconds, abortIf = [], atLeast } = flags;
  if (canary === undefined) {
    const given = hold_seconds !== undefined || abortIf.length > 0 || atLeast !== undefined;
    if (!given) return;
    throw usageError(
      "--for, --abort-if and --at-least are about --canary",
      `${io.arq} apply DIR --canary 1%`,
    );
  }
  if (changes.length === 0) return;
  if (changes.some(({ kind }) => kind === "policies")) return;
  const text = "no policy changes, so a canary has no effect";
  throw failed(text, "apply without --canary");
}

/** Starts a rollout and shows its progress to the end. Returns as `watchRollout`. */
async function rollOut(applying: Applying, flags: Flags): Promise<number> {
  const { admin, desired: { tenant }, compared } = applying;
  await uploadModules(applying);
  const staged = await stageSchemas(applying);
  const body = JSON.stringify({
    ...JSON.parse(applyBody(compared, staged)),
    canary: flags.canary,
    for_ms: (flags.for ?? HOLD_SECONDS) * 1_000,
    abort_if: flags.abortIf ?? [],
    ...(flags.atLeast === undefined ? {} : { at_least: flags.atLeast }),
  });
  const path = rolloutPath(tenant);
  const { secrets, rollout } = await admin.ask({ method: "POST", path, body });
  const shown_secrets = secretsText(membersOf(secrets));
  if (flags.json === true) await print(admin.io.stderr, shown_secrets);
  else {await print(
      admin.io.stdout,
      changesText(`tenant ${tenant}`, compared.changes) + shown_secrets,
    );}
  const id = String(membersOf(rollout)["id"]);
  return await watchRollout(admin, { tenant, id }, flags);
}

/** Throws for a schema that the bus would refuse to register. */
function requireCompatible({ checks }: Compared): void {
  if (checks.every(({ compatible }) => compatible)) return;
  throw failed(`${checksText(checks, false)}nothing was changed`, "arq schema check has details");
}

/** The exit code; reports when something is stored but not yet in force on this node. */
async function exitOf(io: Io, parts: readonly Pick<Made, "in_force">[]): Promise<number> {
  if (parts.every(({ in_force }) => in_force)) return EXIT.ok;
  await note(io, "it is stored, and not in force on this node yet; arq doctor");
  return EXIT.failure;
}

/** Puts a folder or a plan in force. Returns 1 when it is stored but not yet in force on this node. */
export async function apply(io: Io, target: string, flags: Flags): Promise<Ended> {
  if (await isBusFolder(io, target)) {
    return await applyBus(io, target, flags);
  }
  const desired = await readTarget(io, target);
  const admin = await findAdmin(io, flags);
  const compared = await compare(admin, desired);
  const applying = { admin, desired, compared };
  const { changes, rollouts, losses } = compared;
  const { tenant } = desired;
  const takes_back = rollouts.some(({ stands }) => stands === "is-taken-back");
  if (changes.length > 0 || takes_back) requireFresh(desired, compared);
  requireCompatible(compared);
  requireCanary(io, flags, compared);
  requireFree(io, rollouts);
  requireMeant(losses, flags.allowUnreachable);
  if (flags.canary !== undefined && changes.length > 0) {
    return await rollOut(applying, flags);
  }
  const made = await carryOut(applying);
  return {
    json: { tenant, ...made, changes },
    text: madeText(`tenant ${tenant}`, compared, made) + notesText(compared.notes),
    code: await exitOf(io, [made]),
  };
}

/** The result of applying a tenant's folder. */
interface Made {
  /** The id; null: nothing had to change. */
  readonly apply: string | null;
  readonly in_force: boolean;
  /** The rollout that was rolled back. */
  readonly taken_back: string | null;
  /** Secrets of new hooks, by hook id. */
  readonly secrets: Readonly<Record<string, unknown>>;
}

/** Makes the changes, or rolls back the rollout that the state would undo. Rejects as `Admin.ask` does. */
async function carryOut(applying: Applying): Promise<Made> {
  const { admin, compared } = applying;
  const none = { apply: null, in_force: true, taken_back: null, secrets: {} };
  const [rollout] = compared.rollouts;
  if (compared.changes.length === 0) {
    if (rollout === undefined) return none;
    await takeBack(admin, rollout);
    return { ...none, taken_back: rollout.id };
  }
  const answer = await make(applying);
  const { id, in_force } = appliedOf(answer);
  return { ...none, apply: id, in_force, secrets: membersOf(answer["secrets"]) };
}

/** The result as text; `whose` names the owner. */
function madeText(
  whose: string,
  { changes, rollouts }: Compared,
  { apply, taken_back, secrets }: Made,
): string {
  const [{ by } = { by: "" }] = rollouts;
  const head = taken_back === null
    ? changesText(whose, changes)
    : printable(`${whose}: rollout ${taken_back} by ${by} is rolled back`) + "\n";
  const done = apply === null ? "" : `applied as ${apply}\n`;
  return head + done + secretsText(secrets);
}

/** Secrets are shown only once, when they are created. */
function secretsText(secrets: Readonly<Record<string, unknown>>): string {
  return Object.entries(secrets).map(([hook, secret]) =>
    printable(`hook ${hook} has the new secret ${secret}, which is shown only once`) + "\n"
  ).join("");
}

/** Stores the changed schemas and puts them in force. Resolves with the id of the apply. Rejects as `Admin.ask`. */
async function applySchemas(applying: Applying): Promise<string> {
  const body = JSON.stringify({ schemas: await stageSchemas(applying) });
  const { apply } = await applying.admin.ask({ method: "PUT", path: "/v1/state", body });
  return String(apply);
}

/**
 * `refused`: nothing was changed; `unknown`: the bus did not answer and may still complete it; `not-tried`: an earlier
 * part failed.
 */
type Outcome = "applied" | "unchanged" | "refused" | "unknown" | "not-tried";

interface Part extends Made {
  /** Null: the bus itself. */
  readonly tenant: string | null;
  readonly outcome: Outcome;
  readonly changes: readonly unknown[];
}

const nameOf = (tenant: string | null) => tenant === null ? "the bus" : `tenant ${tenant}`;

/** A refusal by the bus means that nothing was changed; after any other error that is unknown. */
function outcomeOf(error: unknown): "refused" | "unknown" {
  if (error instanceof CommandError) return "refused";
  return error instanceof ArqonError && error.code < 500 ? "refused" : "unknown";
}

/** The error of a part, with the parts that were applied before it. */
function stopped(whose: string, parts: readonly Part[], error: unknown): unknown {
  if (!(error instanceof Error) || error.name === "Interrupted") return error;
  const done = parts.filter(({ outcome }) => outcome === "applied").map(({ tenant }) =>
    nameOf(tenant)
  );
  if (done.length === 0) return error;
  const text = `${whose}: ${error.message}; applied before it: ${done.join(", ")}`;
  return failed(printable(text), "repeat the command to continue from there");
}

const OUTCOMES = {
  refused: "refused, nothing was changed",
  unknown: "no answer: it may be in force; arq plan shows that",
  "not-tried": "not tried",
} as const;

/** A line for each part that was not applied, with its outcome. */
function restText(parts: readonly Part[]): string {
  return parts.map(({ tenant, outcome }) =>
    outcome === "applied" || outcome === "unchanged"
      ? ""
      : `${printable(nameOf(tenant))}: ${OUTCOMES[outcome]}\n`
  ).join("");
}

/** Puts the schemas of the bus in force if they change. */
async function carryOutBus(applying: Applying): Promise<Made> {
  const apply = applying.compared.changes.length === 0 ? null : await applySchemas(applying);
  return { apply, in_force: true, taken_back: null, secrets: {} };
}

/** Puts a folder of the bus in force. Returns 1 when something is stored but not yet in force on this node. */
async function applyBus(io: Io, folder: string, flags: Flags): Promise<number> {
  const { canary, for: hold_seconds, abortIf, atLeast } = flags;
  if ([canary, hold_seconds, abortIf, atLeast].some((given) => given !== undefined)) {
    throw usageError(
      "a rollout is for one tenant, and this is a folder of the bus",
      `${io.arq} apply ${folder}/TENANT --canary 1%`,
    );
  }
  const wanted = await readBusFolder(io, folder);
  const admin = await findAdmin(io, flags);
  const { bus, tenants, others } = await compareBus(admin, wanted);
  requireCompatible(bus);
  for (const { rollouts, losses } of [bus, ...tenants.map(({ compared }) => compared)]) {
    requireFree(io, rollouts);
    requireMeant(losses, flags.allowUnreachable);
  }
  const parts: Part[] = [];
  const all = [
    { tenant: null, desired: wanted.bus, compared: bus },
    ...tenants.map((one) => ({ tenant: one.desired.tenant, ...one })),
  ];
  const json = flags.json === true;
  const none = { apply: null, in_force: false, taken_back: null, secrets: {} };
  let broken: { readonly error: unknown } | undefined;
  for (const { tenant, desired, compared } of all) {
    const { changes } = compared;
    if (broken !== undefined) {
      parts.push({ tenant, outcome: "not-tried", ...none, changes });
      continue;
    }
    try {
      const applying = { admin, desired, compared };
      const made = await (tenant === null ? carryOutBus : carryOut)(applying);
      const { apply, in_force, secrets, taken_back } = made;
      const outcome = apply === null && taken_back === null ? "unchanged" : "applied";
      parts.push({ tenant, outcome, apply, in_force, changes, taken_back, secrets });
      const text = madeText(nameOf(tenant), compared, made);
      if (!json) await print(io.stdout, text);
    } catch (error) {
      broken = { error: stopped(nameOf(tenant), parts, error) };
      parts.push({ tenant, outcome: outcomeOf(error), ...none, changes });
    }
  }
  const end = json
    ? `${JSON.stringify({ parts, others })}\n`
    : restText(parts) + othersText(others);
  await print(io.stdout, end);
  if (broken !== undefined) throw broken.error;
  return await exitOf(io, parts);
}
