/**
 * Records the rules in force for an operation: its token, the grant that allows it, the limits, the room's class and
 * the mirror rule. Decides nothing. Equal parts are one object, so that a block contains each once.
 */
import type { ScannedEnvelope } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { type OwnQuota, withOwn } from "../../shared/config/schema_quota.ts";
import type { JournalRecord, Terms } from "../../shared/journal/record.ts";
import { judgedRoomOf } from "../../shared/rooms/reserved.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { canAct, commandAction, type CommandActions } from "../auth/authorize.ts";
import type { Action, Identity } from "../auth/identity.ts";
import type { Settings } from "../settings/settings.ts";
import type { Caller } from "../message/caller.ts";
import type { CompiledRule, MirrorRules } from "../mirror/rules.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { shareKey } from "../../shared/telemetry/trace_parent.ts";

/** The sources. */
export interface TermsParts {
  readonly config: Pick<Config, "limits" | "quota">;
  readonly classes: Pick<RoomClasses, "of">;
  /** The grants that commands of capabilities need; absent: there are none. */
  readonly actions?: CommandActions;
  /** Tenants' own settings; absent: none. */
  readonly settings?: Pick<Settings, "get"> | undefined;
  /** Absent: no mirror. */
  readonly mirror?: Pick<MirrorRules, "match" | "picks" | "size"> | undefined;
}

/** An operation, and whether it was admitted. */
export interface TermsQuery {
  readonly caller: Caller;
  readonly hook: JournalRecord["hook"];
  /** "" without a room. */
  readonly room_id: string;
  readonly envelope?: ScannedEnvelope | undefined;
  readonly is_allowed: boolean;
}

/** Finds the terms of operations; equal terms are one object. */
export class TermsOf {
  readonly #parts: TermsParts;
  readonly #credentials = new WeakMap<Identity, Terms["credential"]>();
  #limits!: Terms["limits"];
  /** Tenants with a quota in the configuration. */
  readonly #own_limits = new Map<string, Terms["limits"]>();
  /** Tenants with quotas set at run time, by these. */
  #given_limits = new WeakMap<readonly OwnQuota[], Terms["limits"]>();
  readonly #classes = new WeakMap<RoomClass, Terms["room_class"]>();
  readonly #copied = new WeakMap<CompiledRule, Terms["mirror"]>();
  readonly #left = new WeakMap<CompiledRule, Terms["mirror"]>();

  constructor(parts: TermsParts) {
    this.#parts = parts;
    this.renew();
  }

  /** Applies the current rates and quotas of the configuration. */
  renew(): void {
    const { config: { limits, quota } } = this.#parts;
    this.#own_limits.clear();
    this.#given_limits = new WeakMap();
    const usual = {
      connection: rate(limits.messages_per_second, limits.bytes_per_second),
      user: rate(limits.user_messages_per_second, limits.user_bytes_per_second),
      tenant: rate(limits.tenant_messages_per_second, limits.tenant_bytes_per_second),
    };
    if (quota === undefined) {
      this.#limits = { ...usual, quota: null };
      return;
    }
    const { tenant_messages_per_second: messages, tenant_bytes_per_second: bytes } = quota;
    this.#limits = { ...usual, quota: rate(messages, bytes) };
    for (const { tenant, messages_per_second, bytes_per_second } of quota.tenants) {
      const own = rate(messages_per_second ?? messages, bytes_per_second ?? bytes);
      this.#own_limits.set(tenant, { ...usual, quota: own });
    }
  }

  /** The terms of an operation that is being decided. */
  of(query: TermsQuery): Terms {
    const { caller: { identity }, hook, room_id } = query;
    return {
      credential: this.#credentialOf(identity),
      expires_ms: Math.max(0, Math.trunc(identity.expires_ms)),
      grant: grantOf(identity, actionOf(query, this.#parts.actions), room_id),
      limits: this.#limitsOf(identity.tenant_id),
      room_class: hook === "on_connect" || room_id === ""
        ? null
        : this.#classOf(this.#parts.classes.of(identity.tenant_id, room_id)),
      mirror: this.#mirrorOf(query),
    };
  }

  #limitsOf(tenant_id: string): Terms["limits"] {
    const limits = this.#own_limits.get(tenant_id) ?? this.#limits;
    const given = this.#parts.settings?.get(tenant_id).quotas ?? [];
    if (limits.quota === null || given.length === 0) return limits;
    let found = this.#given_limits.get(given);
    if (found === undefined) {
      const { messages_per_second, bytes_per_second } = limits.quota;
      const both = withOwn({ messages: messages_per_second, bytes: bytes_per_second }, given);
      found = { ...limits, quota: rate(both.messages, both.bytes) };
      this.#given_limits.set(given, found);
    }
    return found;
  }

  #credentialOf(identity: Identity): Terms["credential"] {
    let found = this.#credentials.get(identity);
    if (found === undefined) {
      const { issuer, key_id, role, grants } = identity;
      found = { issuer, kid: key_id ?? null, role, has_grants: grants !== undefined };
      this.#credentials.set(identity, found);
    }
    return found;
  }

  #classOf(room_class: RoomClass): Terms["room_class"] {
    let found = this.#classes.get(room_class);
    if (found === undefined) {
      const { pattern, source, durable } = room_class;
      found = { pattern, source, durable };
      this.#classes.set(room_class, found);
    }
    return found;
  }

  /** Only admitted events and signals are mirrored. */
  #mirrorOf({ caller, room_id, envelope, is_allowed }: TermsQuery): Terms["mirror"] {
    const { mirror } = this.#parts;
    if (mirror === undefined || mirror.size === 0 || !is_allowed) return null;
    if (envelope === undefined || envelope.command !== undefined) return null;
    const { tenant_id } = caller.identity;
    const rule = mirror.match(roomSubject("in", tenant_id, room_id), tenant_id);
    if (rule === undefined) return null;
    const is_copied = mirror.picks(rule, shareKey(envelope, caller));
    const known = is_copied ? this.#copied : this.#left;
    let found = known.get(rule);
    if (found === undefined) {
      const { prefix, percent, source } = rule;
      known.set(rule, found = { prefix, percent, source, is_copied });
    }
    return found;
  }
}

const rate = (messages_per_second: number, bytes_per_second: number) => ({
  messages_per_second,
  bytes_per_second,
});

function actionOf(
  { hook, envelope }: TermsQuery,
  own: CommandActions | undefined,
): Action | undefined {
  if (hook === "on_connect") return undefined;
  if (hook === "on_subscribe") return "subscribe";
  return envelope?.command === undefined ? "publish" : commandAction(envelope.command.name, own);
}

/** The room or pattern of the grant that `canAct` finds; null: none, or the token has no grants. */
function grantOf(
  { grants }: Pick<Identity, "grants">,
  action: Action | undefined,
  room_id: string,
): string | null {
  if (grants === undefined || action === undefined || room_id === "") return null;
  if (!canAct({ grants }, action, room_id)) return null;
  // What is kept beside a room is read with the grants of that room, by whichever of them it takes.
  const judged = judgedRoomOf(room_id);
  const allows = grants.find((one) =>
    canAct({ grants: [one] }, action, judged) || canAct({ grants: [one] }, action, room_id)
  );
  return allows?.room ?? null;
}
