/**
 * The hooks capability of a Shield. A tenant's own hooks are a kind of its state; those of the configuration are not.
 * Refusals of the Overseer are reported to hooks that subscribe to them.
 */
import type { Capability, Parts, Running, ShieldOptions } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { HOOK_ROUTES, NO_LOG } from "./api.ts";
import { USAGE } from "../usage/capability.ts";
import { askingHooks } from "./gate.ts";
import { HookStore } from "./hook_store.ts";
import { TenantEvents } from "./tenant_events.ts";
import { ArqonError } from "@arqon/proto";
import type { Webhooks } from "../../shared/config/automation/hooks.ts";
import { newSecret } from "../../shared/hooks/signature.ts";
import { plural } from "../../shared/plural.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { resumed } from "../../shared/records/hook_document.ts";
import { StateHook } from "../../shared/records/tenant_settings.ts";
import type { DocumentKind } from "../settings/document_kinds.ts";
import type { Caller } from "../message/caller.ts";
import { isJudged, type Judged, type Policies } from "../message/gates.ts";

/** The longest reason that is reported, in UTF-16 units. */
const REASON_UNITS = 512;

/** The same Overseer, whose refusals are reported if a hook wants them. */
export function tellingRefusals(
  overseer: Policies,
  events: Pick<TenantEvents, "isWanted" | "refused">,
  { node_id, now }: { readonly node_id: string; readonly now: () => number },
): Policies {
  const tell = (caller: Caller, what: string, room: string | null, error: unknown) => {
    if (!(error instanceof ArqonError)) return;
    const { reason, message } = error;
    if (reason !== "policy-rejected" && reason !== "policy-fault") return;
    const { identity: { user_id, issuer, role }, connection_id } = caller;
    events.refused(caller.identity.tenant_id, {
      room,
      what,
      reason,
      message: message.slice(0, REASON_UNITS),
      user_id,
      issuer,
      role,
      connection_id,
      node_id,
      at_ms: now(),
    });
  };
  /** Rejects as `judged` does, and reports that. */
  const reported = async <T>(
    judged: PromiseLike<T>,
    caller: Caller,
    what: string,
    room: string | null,
  ): Promise<T> => {
    try {
      return await judged;
    } catch (error) {
      tell(caller, what, room, error);
      throw error;
    }
  };
  const isWanted = ({ identity: { tenant_id } }: Caller) =>
    events.isWanted(tenant_id, "policy.refused");
  return {
    onConnect(caller, note) {
      const judged = overseer.onConnect(caller, note);
      return judged && isWanted(caller) ? reported(judged, caller, "connect", null) : judged;
    },
    onSubscribe(caller, room_id, note) {
      const judged = overseer.onSubscribe(caller, room_id, note);
      return judged && isWanted(caller) ? reported(judged, caller, "subscribe", room_id) : judged;
    },
    onMessage(caller, envelope, path, onReplaced, note): Judged | undefined {
      const what = envelope.command === undefined ? "publish" : "command";
      let judged: Judged | undefined;
      try {
        judged = overseer.onMessage(caller, envelope, path, onReplaced, note);
      } catch (error) {
        if (isWanted(caller)) tell(caller, what, envelope.room_id, error);
        throw error;
      }
      if (isJudged(judged) || !isWanted(caller)) return judged;
      return reported(judged, caller, what, envelope.room_id);
    },
    onAppend(caller, room_id, piece) {
      const judged = overseer.onAppend(caller, room_id, piece);
      return judged && isWanted(caller) ? reported(judged, caller, "append", room_id) : judged;
    },
  };
}

interface HooksKindOptions {
  readonly store: HookStore;
  readonly webhooks: Pick<Webhooks, "tenant_hooks">;
}

/** Makes the kind from the store of hooks. */
export function hooksKind({ store, webhooks }: HooksKindOptions): DocumentKind<StateHook> {
  const own = async (tenant_id: string) =>
    (await store.list(tenant_id)).filter(({ source }) => source === "tenant");
  return {
    entry: StateHook,
    off: undefined,
    tenants: () => store.tenants(),
    async list(tenant_id) {
      return (await own(tenant_id)).map(({ hook, document: { paused } }) => {
        const { tenant: _, secret: __, secret_file: ___, ...shown } = hook;
        return { ...shown, paused };
      });
    },
    async check(tenant_id, wanted) {
      const before = await store.list(tenant_id);
      const of_config = wanted.find(({ id }) =>
        before.some(({ source, hook }) => source === "config" && hook.id === id)
      );
      if (of_config !== undefined) {
        const detail = `hooks: ${of_config.id} is in the configuration`;
        throw new ArqonError("settings-conflict", detail);
      }
      const known = new Set(before.map(({ hook }) => hook.id));
      const { tenant_hooks } = webhooks;
      if (wanted.length > tenant_hooks && wanted.some(({ id }) => !known.has(id))) {
        const detail = `hooks: ${plural(wanted.length, "hook")}, at most ${tenant_hooks}`;
        throw new ArqonError("settings-conflict", detail);
      }
      const hasSecret = ({ id, secret }: StateHook) => known.has(id) || secret;
      return wanted.map((one) => hasSecret(one) ? one : { ...one, secret: newSecret() });
    },
    async write(writing, wanted) {
      const { tenant_id } = writing;
      const given = new Map(wanted.map((one) => [one.id, one]));
      const stored = (await own(tenant_id)).map(({ hook: { id } }) => id);
      await writing.change(new Set([...given.keys(), ...stored]), async (hook_id) => {
        const { document, last } = await store.stored(tenant_id, hook_id);
        const one = given.get(hook_id);
        if (one === undefined) {
          return document.spec && (() => store.remove(tenant_id, hook_id, last?.revision));
        }
        const { id, paused = document.paused, secret, ...rest } = one;
        const spec = { ...rest, secret: secret ?? document.spec?.secret ?? newSecret() };
        const is_same = canonicalJson([document.spec, document.paused]) ===
          canonicalJson([spec, paused]);
        if (is_same) return undefined;
        return async () => {
          const begin = document.spec === undefined ? await store.begin(tenant_id, id) : {};
          const next = { ...paused ? document : resumed(document), ...begin, spec, paused };
          await store.replace(tenant_id, id, next, last);
        };
      });
    },
  };
}

/** The capability, for a Shield's list. */
export const HOOKS: Capability = {
  name: "hooks",
  title: "URLs that are called for events",
  config: ["hooks", "webhooks"],
  stores: ["ARQON_HOOKS"],
  admin: {
    tables: [HOOK_ROUTES],
    tags: { hooks: "URLs that are called for events" },
    names: { hook: inPath("hook", "the hook's id") },
  },
  open(env, { node_id, time, settings: { deletions }, running: { given } }) {
    const events = new TenantEvents({ ...env, deletions });
    // Receivers refuse a call that was signed minutes ago or ahead: by a Shield's own clock, each while it is wrong.
    const now = () => time.now();
    const asking = askingHooks(given.policies, { ...env, now });
    const policies = tellingRefusals(asking, events, { node_id, now });
    return { gives: { policies }, start: (parts) => startHooks({ ...env, now }, parts, events) };
  },
};

async function startHooks(
  { config, spine, log, now, readTextFile }: ShieldOptions,
  { node_id, logs, running, rooms: { classes } }: Parts,
  events: TenantEvents,
): Promise<Running> {
  const hasLog = (tenant_id: string) => classes.logRetentionOf(tenant_id) !== undefined;
  for (const { id, tenant, events } of config.hooks) {
    if (events.length === 0 || hasLog(tenant)) continue;
    log.warn("a hook is never called", { hook: id, tenant_id: tenant, problem: NO_LOG });
  }
  await events.start((tenant_id) => logs.of(tenant_id));
  running.of(USAGE)?.store(
    (tenant_id, key, data) => events.exhausted(tenant_id, key, data),
    (tenant_id) => events.isWanted(tenant_id, "budget.exhausted"),
  );
  const store = new HookStore(spine, () => config.hooks, async (tenant_id) => {
    if (!hasLog(tenant_id)) return undefined;
    const { stream, log_offset: offset } = await (await logs.of(tenant_id)).head("~");
    return { stream, offset };
  });
  const { webhooks } = config;
  const parts = { store, webhooks, readTextFile, now, node_id, hasLog };
  const own = { ...parts, log: log.child({ part: "hooks" }) };
  return {
    kinds: { hooks: hooksKind(own) },
    routes: HOOK_ROUTES.serve(own),
    close: () => events.close(),
  };
}
