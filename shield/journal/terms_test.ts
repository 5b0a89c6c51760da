/** The recorded terms of an operation: token, grant, limits, room class and mirror rule. */
import assert from "node:assert/strict";
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { ann } from "../auth/testing/identity.ts";
import type { Identity } from "../auth/identity.ts";
import { callerOf, LIMITS } from "../message/testing/path.ts";
import { MirrorRules } from "../mirror/rules.ts";
import { MirrorStats } from "../mirror/stats.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { emptySettings, type TenantSettings } from "../../shared/records/tenant_settings.ts";
import { TermsOf, type TermsQuery } from "./journal.ts";

function asked(change: Partial<TermsQuery> & { readonly identity?: Partial<Identity> } = {}) {
  const { identity, ...rest } = change;
  const event = { type: "chat", data: new Uint8Array(2) };
  const bytes = writeEnvelope({ room_id: "chat-1", message_id: "m1", event });
  const known = identity === undefined ? ann : { ...ann, ...identity };
  return {
    caller: callerOf(known),
    hook: "on_message",
    room_id: "chat-1",
    envelope: scanEnvelope(bytes, LIMITS),
    is_allowed: true,
    ...rest,
  } satisfies TermsQuery;
}

function terms(percent = 1, quotas?: TenantSettings["quotas"]): TermsOf {
  const classes = new RoomClasses(configFrom({ rooms: [{ room: "chat-*", durable: true }] }).rooms);
  const prefix = `in.t.${ann.tenant_id}.r.chat-*`;
  const mirror = new MirrorRules([{ prefix, percent }], new MirrorStats().totalsOf);
  const quota = {
    url: "redis://127.0.0.1:1",
    tenant_messages_per_second: 70,
    tenant_bytes_per_second: 7_000,
    tenants: [{ tenant: "small", messages_per_second: 7 }],
  };
  const config = configFrom({ limits: { messages_per_second: 50 }, quota });
  const settings = { get: () => ({ ...emptySettings(), quotas }) };
  return new TermsOf({ config, classes, mirror, settings });
}

Deno.test("terms: the token's issuer and key, never the token; the first grant that allows it", () => {
  const grants = [
    { room: "chat-*", actions: ["subscribe"] as const },
    { room: "chat-1", actions: ["publish"] as const },
    { room: "*", actions: ["publish"] as const },
  ];
  const identity = { key_id: "k7", grants, expires_ms: 1_767_323_999_000.5 };
  const of = terms();
  const found = of.of(asked({ identity }));
  const { issuer, role } = ann;
  assert.deepEqual(found.credential, { issuer, kid: "k7", role, has_grants: true });
  assert.deepEqual([found.grant, found.expires_ms], ["chat-1", 1_767_323_999_000]);
  const subscribed = asked({ identity, hook: "on_subscribe", envelope: undefined });
  assert.equal(of.of(subscribed).grant, "chat-*");
  assert.equal(of.of(asked({ identity: { ...identity, grants: [] } })).grant, null);
  const everything = of.of(asked({ identity: { grants: undefined } }));
  assert.deepEqual([everything.grant, everything.credential.has_grants], [null, false]);
});

Deno.test("terms: what is kept beside a room is allowed by a grant for that room, and by all that it takes", () => {
  const subscribe = { room: "chat-*", actions: ["subscribe"] as const };
  const presence = { room: "chat-1", actions: ["presence"] as const };
  const everywhere = { room: "chat-1~*", actions: ["subscribe"] as const };
  const grantFor = (
    room_id: string,
    ...grants: readonly NonNullable<Identity["grants"]>[number][]
  ) =>
    terms().of(asked({ identity: { grants }, hook: "on_subscribe", room_id, envelope: undefined }))
      .grant;
  assert.equal(grantFor("chat-1~growing", subscribe), "chat-*");
  assert.equal(grantFor("chat-1~members", subscribe), null, "it takes presence, too");
  assert.equal(grantFor("chat-1~members", presence, subscribe), "chat-*");
  assert.equal(grantFor("chat-1~values", everywhere), null, "it grants nothing beside a room");
  const of_ticket = { ...subscribe, room: "chat-1~members", is_checked: true } as const;
  assert.equal(grantFor("chat-1~members", of_ticket), "chat-1~members");
});

Deno.test("terms: limits with the tenant's own quota, the room's class, and whether it is mirrored", () => {
  const of = terms();
  const found = of.of(asked());
  assert.equal(found.limits.connection.messages_per_second, 50);
  assert.deepEqual(found.limits.quota, { messages_per_second: 70, bytes_per_second: 7_000 });
  const small = of.of(asked({ identity: { tenant_id: "small" } }));
  assert.deepEqual(small.limits.quota, { messages_per_second: 7, bytes_per_second: 7_000 });
  const given = terms(1, [{ unit: "bytes", per_second: 5 }]);
  const one = given.of(asked()).limits;
  const two = given.of(asked()).limits;
  assert.deepEqual(one.quota, { messages_per_second: 70, bytes_per_second: 5 });
  assert.equal(one, two, "one object, until it changes");
  assert.deepEqual(found.room_class, { pattern: "chat-*", source: "config", durable: true });
  assert.equal(found.mirror?.is_copied, true);
  assert.equal(terms(0).of(asked()).mirror?.is_copied, false);
  assert.equal(of.of(asked({ is_allowed: false })).mirror, null);
  assert.equal(small.mirror, null);
  const entering = of.of(asked({ hook: "on_connect", room_id: "", envelope: undefined }));
  assert.deepEqual([entering.room_class, entering.mirror, entering.grant], [null, null, null]);
});

Deno.test("terms: equal parts are one object, so that a block has them once", () => {
  const of = terms();
  const one = of.of(asked());
  const two = of.of(asked());
  for (const part of ["credential", "limits", "room_class", "mirror"] as const) {
    assert.equal(one[part], two[part], part);
  }
});
