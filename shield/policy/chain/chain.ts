/**
 * A tenant's policies as one document: its content, its changes, and which policies apply to an operation. Pure.
 * `store.ts` stores documents, `registry.ts` has those in force here.
 */
import { ArqonError, isId, isRoomPattern, matchesRoomPattern } from "@arqon/proto";
import { z } from "zod";
import { always, refuseRepeated } from "../../../shared/config/values/schema_values.ts";
import { problemText } from "../../../shared/problem.ts";
import { isSampled } from "../../../shared/sampling.ts";
import { type Hook, HOOKS, type PolicyBinding } from "../../../shared/records/verdict.ts";
import { isIncompatible, requireFormat } from "../../../shared/records/stored.ts";

/** The most earlier versions that a document keeps for rollbacks. */
export const HISTORY_VERSIONS = 20;
/** The most policies of one tenant. With the history, the document stays below half a MiB. */
export const POLICIES_MAX = 64;

/** The order of two policies of a chain. */
export const inOrder = (a: PolicyBinding, b: PolicyBinding): number =>
  a.order - b.order || (a.name < b.name ? -1 : Number(a.name > b.name));

/** One policy of a chain, as documents and deployments have it. */
export const Binding = z.strictObject({
  name: z.string().refine(isId, { error: "expected 1 to 64 of [A-Za-z0-9_~:=-]" }),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" }),
  room: z.string().refine(isRoomPattern, {
    error: 'expected a room id or a prefix followed by "*"',
  }),
  hooks: z.array(z.enum(HOOKS)).min(1).refine((hooks) => new Set(hooks).size === hooks.length, {
    error: "expected each hook once",
  }),
  order: z.int().min(-1_000_000).max(1_000_000),
  mode: z.enum(["enforce", "observe"]),
  percent: z.number().min(0).max(1),
});

/** All policies of a tenant. */
export const Policies = z.array(Binding).max(POLICIES_MAX).superRefine(
  refuseRepeated({
    list: "policies",
    members: ["name"],
    shown: "name",
    same: "the same name",
    expected: "expected each name once",
  }),
  always,
);

const Version = z.strictObject({
  /** The version's number. It grows by one with every change; 0 is the empty start. */
  version: z.int().min(0),
  /** The version that had these policies first: an earlier one after a rollback, otherwise `version`. */
  restores: z.int().min(0),
  /** Unix ms. */
  at_ms: z.int().min(0),
  /** The user id of the change's author. */
  by: z.string().max(256),
  /** The change as a text for people: "deploy bad-words". */
  change: z.string().max(256),
  policies: Policies,
});

const Document = z.strictObject({
  format: z.literal(1),
  current: Version,
  /** The earlier versions; the newest is the last. */
  history: z.array(Version).max(HISTORY_VERSIONS),
});

/** One version of a tenant's policies. */
export type PolicyVersion = z.output<typeof Version>;
/** A tenant's document in `ARQON_POLICIES`. */
export type PolicyDocument = z.output<typeof Document>;

/** The author and time (Unix ms) of a change to a document. */
interface Author {
  readonly by: string;
  readonly at_ms: number;
}

/** A document without policies, as before a tenant's first deployment. */
export function emptyDocument(): PolicyDocument {
  const current = { version: 0, restores: 0, at_ms: 0, by: "", change: "", policies: [] };
  return { format: 1, current, history: [] };
}

/** Reads a stored document. Anything that is not exactly a document is a `problem`. */
export function parseDocument(
  bytes: Uint8Array,
): { readonly document: PolicyDocument } | { readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    requireFormat(value, "policies of a tenant");
  } catch (error) {
    return { problem: isIncompatible(error) ? error.message : "the document is not JSON" };
  }
  const parsed = Document.safeParse(value);
  if (!parsed.success) {
    return { problem: `the document is malformed: ${problemText(parsed.error)}` };
  }
  return { document: parsed.data };
}

/** The stored form of a document. */
export function documentBytes(document: PolicyDocument): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document));
}

function advanced(
  { current, history }: PolicyDocument,
  next: { policies: readonly PolicyBinding[]; change: string; restores?: number },
  author: Author,
): PolicyDocument {
  const version = current.version + 1;
  const policies = next.policies.map((one) => ({ ...one, hooks: [...one.hooks] })).sort(inOrder);
  const { restores = version, change } = next;
  return {
    format: 1,
    current: { version, restores, at_ms: author.at_ms, by: author.by, change, policies },
    history: [...history, current].slice(-HISTORY_VERSIONS),
  };
}

/** Whether two bindings are equal, whatever their names. */
export const sameBinding = (a: PolicyBinding, b: PolicyBinding): boolean =>
  a.sha256 === b.sha256 && a.room === b.room && a.order === b.order && a.mode === b.mode &&
  a.percent === b.percent && [...a.hooks].sort().join() === [...b.hooks].sort().join();

/**
 * Adds a binding, or replaces the one of the same name. Returns the same document if nothing changes. Throws
 * `invalid-policy` if the chain would be longer than `POLICIES_MAX`.
 */
export function withPolicy(
  document: PolicyDocument,
  binding: PolicyBinding,
  author: Author,
): PolicyDocument {
  const { policies } = document.current;
  const before = policies.find(({ name }) => name === binding.name);
  if (before !== undefined && sameBinding(before, binding)) return document;
  const others = policies.filter(({ name }) => name !== binding.name);
  if (others.length >= POLICIES_MAX) {
    throw new ArqonError("invalid-policy", `a tenant has at most ${POLICIES_MAX} policies`);
  }
  const change = `deploy ${binding.name}`;
  return advanced(document, { policies: [...others, binding], change }, author);
}

/** Replaces all policies, as one version with the text `change`. Throws `invalid-policy`. */
export function withPolicies(
  document: PolicyDocument,
  policies: readonly unknown[],
  change: string,
  author: Author,
): PolicyDocument {
  const parsed = Policies.safeParse(policies);
  if (!parsed.success) throw new ArqonError("invalid-policy", problemText(parsed.error));
  return advanced(document, { policies: parsed.data, change }, author);
}

/** Removes a policy from the chain. Throws `policy-unknown` if the chain does not have it. */
export function withoutPolicy(
  document: PolicyDocument,
  name: string,
  author: Author,
): PolicyDocument {
  const { policies } = document.current;
  const others = policies.filter((policy) => policy.name !== name);
  if (others.length === policies.length) {
    throw new ArqonError("policy-unknown", `no policy is named ${JSON.stringify(name)}`);
  }
  return advanced(document, { policies: others, change: `remove ${name}` }, author);
}

/**
 * Puts the policies of an earlier version in force again, as a new version. The version is `version`, or the one before
 * those in force, so that repeated rollbacks go back step by step. Returns the same document if `version` is in force.
 * Throws `policy-unknown` if the history has no such version.
 */
export function rolledBack(
  document: PolicyDocument,
  version: number | undefined,
  author: Author,
): PolicyDocument {
  const { current, history } = document;
  if (version === current.version) return document;
  const target = version === undefined
    ? history.findLast((past) => past.version < current.restores)
    : history.find((past) => past.version === version);
  if (target === undefined) {
    const kept = history.map((past) => past.version);
    const known = kept.length === 0 ? "there is none" : `there are ${kept[0]} to ${kept.at(-1)}`;
    const wanted = version === undefined ? "no earlier version" : `no version ${version}`;
    throw new ArqonError("policy-unknown", `${wanted}; ${known}`);
  }
  const { policies, version: restores } = target;
  const change = `roll back to version ${restores}`;
  return advanced(document, { policies, change, restores }, author);
}

/**
 * A rollback that may be retried after a conflict. The previous version is determined at the first try, so that two
 * concurrent rollbacks go back one step and not two.
 */
export function rollingBack(
  version: number | undefined,
  author: Author,
): (document: PolicyDocument) => PolicyDocument {
  let target = version;
  return (document) => {
    const next = rolledBack(document, target, author);
    target = next.current.restores;
    return next;
  };
}

const NONE: readonly PolicyBinding[] = Object.freeze([]);

/** Whether a policy's room counts at a hook: a new connection is in no room yet. */
export function isInRoom(hook: Hook): boolean {
  switch (hook) {
    case "on_connect":
      return false;
    case "on_subscribe":
    case "on_message":
    case "on_append":
      return true;
    default:
      return hook satisfies never;
  }
}

/** The policies that apply to a hook and a room before staged rollouts are considered, in order. */
export function applicable(
  policies: readonly PolicyBinding[],
  hook: Hook,
  room: string,
): readonly PolicyBinding[] {
  const found = policies.filter((policy) =>
    policy.hooks.includes(hook) &&
    (!isInRoom(hook) || matchesRoomPattern(policy.room, room))
  );
  return found.length === 0 ? NONE : found;
}

/** Drops policies whose rollout does not cover `key`. The same list if all cover it. */
export function sampled(policies: readonly PolicyBinding[], key: string): readonly PolicyBinding[] {
  for (const { percent } of policies) {
    if (percent === 1) continue;
    const covered = policies.filter((policy) => isSampled(key, policy.percent));
    return covered.length === 0 ? NONE : covered;
  }
  return policies;
}
