/** `[[hooks]]` and `[webhooks]`: the URLs that the bus calls after an event. A part of `schema.ts`. */
import { z } from "zod";
import type { HookConstants, WebhookConstants } from "../keys/constants.ts";
import { secretKeys } from "../values/hook_secret.ts";
import {
  always,
  count,
  id,
  namedFile,
  refuseRepeated,
  roomPattern,
} from "../values/schema_values.ts";

/** Tenant events that a hook can subscribe to; they come from the tenant's room of events. */
export const TENANT_EVENT_TYPES = [
  "policy.refused",
  "budget.exhausted",
  "room.created",
  "room.ended",
  "hook.off",
] as const;
/** One of them. */
export type TenantEventType = typeof TENANT_EVENT_TYPES[number];

/** The events that a hook can subscribe to: `type` in the body of the call. */
const HOOK_EVENTS = [
  "room.message",
  "member.joined",
  "member.left",
  "room.occupied",
  "room.vacated",
  ...TENANT_EVENT_TYPES,
] as const;
/** One of `HOOK_EVENTS`. */
export type HookEvent = typeof HOOK_EVENTS[number];

const isHookUrl = (text: string) =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) &&
  new URL(text).username === "" && new URL(text).password === "";

/** A host as `new URL` formats it, with or without a port. */
const hostEntry = z.string().regex(/^(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?$/, {
  error: 'expected a host in lower case, with or without a port, for example "hooks.internal:8080"',
});

const secret = z.string().refine((text) => secretKeys(text) !== undefined, {
  error:
    'expected "whsec_" and base64 of 24 to 64 bytes, or up to four of them with spaces between',
});

/** The operations that a `before` hook of the configuration can allow or refuse. */
const BEFORE = ["connect", "subscribe", "publish"] as const;
/** One of `BEFORE`. */
export type BeforeKind = typeof BEFORE[number];

/** The fields of a hook, without its tenant. */
const options = {
  url: z.string().max(2_048).refine(isHookUrl, {
    error: "expected an http or https URL without user and password",
  }).meta({ format: "uri" }).describe(
    "its URL; https, except for hosts in [webhooks] private_hosts",
  ),
  events: z.array(z.enum(HOOK_EVENTS)).default(["room.message"]).describe(
    "events that call it: publishes in durable rooms, journals of members, refusals of policies, used-up budgets, created and ended rooms",
  ),
  room: roomPattern.default("*").describe("room id or prefix pattern"),
  timeout_ms: count(10_000, 60_000, "how long one call may take, its answer included"),
  retries: z.int().min(0).max(10_000).default(300).describe(
    "retries for one event before it is a dead letter; the pauses of 300 take about a day",
  ),
};

/** A hook that a tenant sets at run time; a missing secret is generated. */
export const TenantHook = z.strictObject({ ...options, secret: secret.optional() });
export type TenantHook = z.output<typeof TenantHook>;

const Hook = z.strictObject({
  id: id.describe("its name in metrics and `arq hook`"),
  tenant: id.describe("tenant of its rooms"),
  ...options,
  before: z.array(z.enum(BEFORE)).default([]).describe(
    "operations that each Shield asks it to allow or deny beforehand, in a tenth of timeout_ms; in room, except connect",
  ),
  on_failure: z.enum(["deny", "allow"]).default("deny").describe(
    "with before: the verdict without a valid answer in time",
  ),
  secret_file: z.string().min(1).describe(
    "file with the signing secret (Standard Webhooks): whsec_ and base64; up to four of them sign each call; read before each call",
  ),
});

const Hooks = z.array(Hook).max(1_000).superRefine(
  refuseRepeated({
    list: "hooks",
    members: ["tenant", "id"],
    shown: "id",
    same: "the same tenant and id",
    expected: "expected each pair once",
  }),
  always,
).default([]);
/** A hook of the configuration. */
export type HookEntry = z.output<typeof Hook> & HookConstants;
/** A hook that is called after an event, of the configuration or of a tenant: one has a file, the other a secret. */
export type AfterHook =
  & Omit<HookEntry, "before" | "on_failure" | "before_timeout_ms" | "secret_file">
  & {
    readonly secret?: string | undefined;
    readonly secret_file?: string | undefined;
  };

const Webhooks = z.strictObject({
  private_hosts: z.array(hostEntry).max(1_000).default([]).describe(
    "hosts that the configuration's hooks may call by http and at private, loopback and link-local addresses",
  ),
  tenant_private_hosts: z.array(hostEntry).max(1_000).default([]).describe(
    "the same for tenants' own hooks, which private_hosts does not cover",
  ),
  ca_file: namedFile("more certificate authorities for receivers, PEM; read before each call"),
  tenant_hooks: z.int().min(0).max(1_000).default(16).describe(
    "hooks that one tenant may set at run time; 0: none",
  ),
});
/** Checked `[webhooks]`, with the constants of every hook. */
export type Webhooks = z.output<typeof Webhooks> & WebhookConstants;

/** Both tables. */
export const HookTables = {
  hooks: Hooks.describe("endpoints that the bus calls when something happens"),
  webhooks: Webhooks.prefault({}).describe("where hooks may be called"),
};
