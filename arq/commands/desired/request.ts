/** What `arq apply` sends for a tenant's folder, and what the bus says about it before: `arq plan` asks for that. */
import { ArqonError } from "@arqon/proto";
import { type Admin, withQuery } from "../../bus/admin.ts";
import { reducerModulePath } from "../../desired/export_text.ts";
import { type Change, type Desired, type Kind, KINDS, type State } from "../../desired/form.ts";
import { type LiveState, statePath } from "./live_state.ts";

/** A folder that is compared with the bus. */
interface Comparison {
  readonly live: LiveState;
  readonly wanted: State;
  readonly changes: readonly Change[];
}

/** A module that the bus does not have yet, and its paths of the admin API. */
interface NewModule {
  readonly body: Uint8Array;
  readonly upload: string;
  readonly check: string;
}

/** The modules that the bus does not have yet. */
export function newModules(
  { tenant, modules }: Pick<Desired, "tenant" | "modules">,
  { live, wanted }: Pick<Comparison, "live" | "wanted">,
): NewModule[] {
  const found: NewModule[] = [];
  const add = (sha256: string, upload: string, pattern?: string) => {
    const body = modules.get(sha256);
    const check = withQuery(`${statePath(tenant)}/modules`, { class: pattern });
    if (body !== undefined) found.push({ body, upload, check });
  };
  const there = new Set((live.state.policies ?? []).map(({ sha256 }) => sha256));
  const named = new Set((wanted.policies ?? []).map(({ sha256 }) => sha256));
  for (const sha256 of named) if (!there.has(sha256)) add(sha256, "/v1/policies/modules");
  // Modules of classes are stored for their class.
  const deployed = new Set((live.state.reducers ?? []).map((one) => `${one.class} ${one.sha256}`));
  for (const one of wanted.reducers ?? []) {
    if (deployed.has(`${one.class} ${one.sha256}`)) continue;
    add(one.sha256, reducerModulePath(tenant, one), one.class);
  }
  return found;
}

/** The lists of the changed kinds except schemas, in the form of requests. */
export function changedLists(wanted: State, changes: readonly Change[]): Record<string, unknown> {
  const isChanged = (kind: Kind) => changes.some((one) => one.kind === kind);
  const changed = KINDS.filter((kind) =>
    kind !== "schemas" && isChanged(kind) ||
    // Other classes of rooms may leave none with their reducer.
    kind === "reducers" && wanted.reducers !== undefined && isChanged("rooms")
  );
  return Object.fromEntries(changed.map((kind) => [kind, listOfKind(wanted, kind)]));
}

/** A list in the form of requests: text that is JSON in a file is a value there. */
function listOfKind(wanted: State, kind: Kind): readonly unknown[] | undefined {
  if (kind !== "schedules") return wanted[kind];
  return wanted.schedules?.map((one) => ({ ...one, message: JSON.parse(one.message) }));
}

/**
 * The refusal that an apply would get; undefined: none. `schemas` come into force before it or with it, and are checked
 * by themselves.
 */
export async function refusalOf(
  admin: Admin,
  desired: Pick<Desired, "tenant" | "modules">,
  compared: Comparison,
  schemas: Iterable<string>,
): Promise<ArqonError | undefined> {
  const lists = changedLists(compared.wanted, compared.changes);
  if (Object.keys(lists).length === 0) return undefined;
  const post = (path: string, body: string | Uint8Array, content_type?: string) =>
    admin.ask({ method: "POST", path, body, ...content_type && { content_type } });
  try {
    for (const { body, check } of newModules(desired, compared)) {
      await post(check, body, "application/wasm");
    }
    const state = JSON.stringify({ ...lists, schemas: [...schemas] });
    await post(`${statePath(desired.tenant)}/check`, state);
    return undefined;
  } catch (error) {
    if (!(error instanceof ArqonError) || error.code >= 500) throw error;
    return error;
  }
}
