/**
 * The hooks of tenants for the admin API: those of the configuration, those set at run time, and their stored state.
 * The bucket is opened on demand. `brain/hooks/` calls them.
 */
import { ArqonError } from "@arqon/proto";
import type { AfterHook } from "../../shared/config/automation/hooks.ts";
import {
  deadKey,
  hookBytes,
  hookKey,
  HOOKS_BUCKET,
  NEW_HOOK,
  positionKey,
  readDeadLetter,
  readHookDocument,
  readPosition,
  waitKey,
} from "../../shared/records/hook_document.ts";
import type { DeadLetter, HookDocument, HookPosition } from "../../shared/records/hook_document.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KvChange, KvKey, Spine } from "../../shared/spine/contract/spine.ts";
import { unlessNewer } from "../../shared/records/stored.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { slice, STRANGERS } from "../../shared/turns/slices.ts";

/** A hook and its stored state. */
export interface StoredHook {
  readonly hook: AfterHook;
  readonly source: "config" | "tenant";
  readonly document: HookDocument;
}

/** A hook whose stored state cannot be read: it is damaged, or of a newer ArqonBus. */
export interface UnreadableHook extends Pick<StoredHook, "source"> {
  readonly id: string;
  readonly problem: ArqonError;
}

function readable(found: StoredHook | UnreadableHook): StoredHook {
  if ("problem" in found) throw found.problem;
  return found;
}

interface HookRoom extends HookPosition {
  readonly room: string;
}

/** All hooks of all tenants. */
export class HookStore {
  readonly #spine: Pick<Spine, "keyValue">;
  readonly #config: () => readonly AfterHook[];
  readonly #endOf: (tenant_id: string) => Promise<HookPosition | undefined>;

  /** `config` returns the configured hooks in force, `endOf` the end of the tenant's log, if it has one. */
  constructor(
    spine: Pick<Spine, "keyValue">,
    config: () => readonly AfterHook[],
    endOf: (tenant_id: string) => Promise<HookPosition | undefined>,
  ) {
    this.#spine = spine;
    this.#config = config;
    this.#endOf = endOf;
  }

  /** Rejects with `spine-unavailable`; the next call tries again. */
  readonly #open = openOnce(() => this.#spine.keyValue(HOOKS_BUCKET));

  #ofConfig(tenant_id: string): readonly AfterHook[] {
    return this.#config().filter(({ tenant }) => tenant === tenant_id);
  }

  /** The tenant's hooks, sorted by id. Rejects if one cannot be read. */
  async list(tenant_id: string): Promise<StoredHook[]> {
    return (await this.all(tenant_id)).map(readable);
  }

  /** The tenant's hooks, sorted by id, and those that cannot be read. */
  async all(tenant_id: string): Promise<(StoredHook | UnreadableHook)[]> {
    const bucket = await this.#open();
    const ids = new Set(this.#ofConfig(tenant_id).map(({ id }) => id));
    for (const key of await bucket.keys([tenant_id])) if (key.length === 2) ids.add(key[1] ?? "");
    const found = await Promise.all(
      [...ids].sort().map(async (id) => {
        await slice(tenant_id);
        return await this.look(tenant_id, id);
      }),
    );
    return found.filter((one) => one !== undefined);
  }

  /** Tenants that have set a hook at run time. */
  async tenants(): Promise<Set<string>> {
    const bucket = await this.#open();
    const keys = (await bucket.keys([])).filter(({ length }) => length === 2);
    const found = new Set<string>();
    for (const key of keys) {
      const [tenant_id = ""] = key;
      if (found.has(tenant_id)) continue;
      await slice(STRANGERS);
      const entry = await bucket.get(key);
      const document = entry && unlessNewer(() => readHookDocument(entry.value));
      if (document === "newer" || document?.spec !== undefined) found.add(tenant_id);
    }
    return found;
  }

  /** The hook. Rejects if it cannot be read. */
  async find(tenant_id: string, hook_id: string): Promise<StoredHook | undefined> {
    const found = await this.look(tenant_id, hook_id);
    return found && readable(found);
  }

  /** The hook, or why it cannot be read. */
  async look(tenant_id: string, hook_id: string): Promise<StoredHook | UnreadableHook | undefined> {
    const own = this.#ofConfig(tenant_id).find(({ id }) => id === hook_id);
    const source = own === undefined ? "tenant" : "config";
    let document: HookDocument;
    try {
      ({ document } = await this.stored(tenant_id, hook_id));
    } catch (error) {
      const is_unreadable = error instanceof ArqonError &&
        ["settings-conflict", "incompatible-version"].includes(error.reason);
      if (is_unreadable) return { id: hook_id, source, problem: error };
      throw error;
    }
    if (own !== undefined) return { hook: own, source: "config", document };
    const { spec } = document;
    if (spec === undefined) return undefined;
    return { hook: { ...spec, tenant: tenant_id, id: hook_id }, source: "tenant", document };
  }

  /** A hook's stored state and its last write. Rejects with `settings-conflict` if it cannot be read. */
  async stored(
    tenant_id: string,
    hook_id: string,
  ): Promise<{ readonly document: HookDocument; readonly last: KvChange | undefined }> {
    const bucket = await this.#open();
    const last = await bucket.last(hookKey(tenant_id, hook_id));
    const document = last?.value === undefined ? NEW_HOOK : readHookDocument(last.value);
    if (document !== undefined) return { document, last };
    throw new ArqonError("settings-conflict", `hook ${hook_id} cannot be read`);
  }

  /** Changes a hook's stored state; nothing is written if `change` throws or returns the same document. */
  async change(
    tenant_id: string,
    hook_id: string,
    change: (before: HookDocument) => HookDocument,
  ): Promise<void> {
    await changeDocument(async (mayLose) => {
      const { document, last } = await this.stored(tenant_id, hook_id);
      const changed = change(document);
      if (changed === document) return;
      await mayLose(this.replace(tenant_id, hook_id, changed, last));
    });
  }

  /** Writes a hook's state after that last write. Rejects with `version-conflict`. */
  async replace(
    tenant_id: string,
    hook_id: string,
    document: HookDocument,
    last: KvChange | undefined,
  ): Promise<void> {
    const bucket = await this.#open();
    await bucket.replace(hookKey(tenant_id, hook_id), hookBytes(document), last);
  }

  /** Removes a hook's stored state, at that revision if one is given. Rejects with `version-conflict`. */
  async remove(tenant_id: string, hook_id: string, revision?: number): Promise<void> {
    const bucket = await this.#open();
    await bucket.delete(hookKey(tenant_id, hook_id), revision);
    await bucket.delete(waitKey(tenant_id, hook_id));
    await this.clear(tenant_id, hook_id);
  }

  /**
   * The start of a new hook: the current end of the log, even if no Brain loads the hook for long. Removes the state of
   * a former hook with that name. Rejects as bucket and log do.
   */
  async begin(tenant_id: string, hook_id: string): Promise<Pick<HookDocument, "since">> {
    await this.clear(tenant_id, hook_id);
    return { since: await this.#endOf(tenant_id) };
  }

  async clear(tenant_id: string, hook_id: string): Promise<void> {
    const bucket = await this.#open();
    for (const prefix of [positionKey(tenant_id, hook_id), deadKey(tenant_id, hook_id)]) {
      for (const key of await bucket.keys(prefix)) {
        await slice(tenant_id);
        await bucket.delete(key);
      }
    }
  }

  async countDead(tenant_id: string, hook_id: string): Promise<number> {
    return (await (await this.#open()).keys(deadKey(tenant_id, hook_id))).length;
  }

  /** Dead letters sorted by offset, and the hook's positions, up to a limit of each. */
  async contents(
    tenant_id: string,
    hook_id: string,
    most: number,
  ): Promise<{ dead: DeadLetter[]; rooms: HookRoom[] }> {
    const bucket = await this.#open();
    const read = async <T>(
      prefix: KvKey,
      decode: (bytes: Uint8Array, key: KvKey) => T | undefined,
    ) => {
      const keys = (await bucket.keys(prefix)).sort((a, b) => a.join() < b.join() ? -1 : 1);
      const found: T[] = [];
      for (const key of keys.slice(0, most)) {
        await slice(tenant_id);
        const entry = await bucket.get(key);
        const one = entry && decode(entry.value, entry.key);
        if (one !== undefined) found.push(one);
      }
      return found;
    };
    const dead = await read(deadKey(tenant_id, hook_id), readDeadLetter);
    const rooms = await read(positionKey(tenant_id, hook_id), (bytes, key) => {
      const position = readPosition(bytes);
      return position && { ...position, room: key.at(-1) ?? "" };
    });
    return { dead: dead.sort((a, b) => a.offset - b.offset), rooms };
  }
}
