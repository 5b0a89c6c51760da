/** A tenant's own hooks as a kind of its state. Hooks of the configuration are not part of it. */
import { ArqonError } from "@arqon/proto";
import type { Webhooks } from "../../shared/config/automation/hooks.ts";
import { newSecret } from "../../shared/hooks/signature.ts";
import { plural } from "../../shared/plural.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { resumed } from "../../shared/records/hook_document.ts";
import type { HookStore } from "./hook_store.ts";
import { StateHook } from "../../shared/records/tenant_settings.ts";
import type { DocumentKind } from "../settings/document_kinds.ts";

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
