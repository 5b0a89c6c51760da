/** A tenant's settings, policies and schemas on one Spine, and applies to them. Not for product code. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { StagedSchema } from "../../../shared/records/bus_schemas.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { openPolicyStore } from "../../policy/chain/store.ts";
import { binding } from "../../policy/testing/modules.ts";
import { promote } from "../../schema/registry/register.ts";
import { latestOf, openSchemaStore, sha256Of } from "../../schema/registry/store.ts";
import { settingsOn } from "../../settings/testing/settings.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import { Applies, type AppliesOptions } from "../applies.ts";
import type { Wanted } from "../decision.ts";

const SCHEMA_IDS = ["fleet", "ship"];

/** A policy, a rule and limits that belong together: all have the number. */
export const wanted = (number: number): Wanted => ({
  policies: [binding({ name: "one", order: number })],
  mirror: { rules: [{ prefix: "in.t.acme.*", percent: number / 1_000 }] },
  quotas: [{ unit: "messages", per_second: number }],
  budgets: [{
    per: "day",
    unit: "messages_in",
    limit: number,
    action: "warn",
    messages_per_second: 1,
  }],
  require_signature: [{ role: "user", room: `r-${number}` }],
});

async function partsOn(spine: Spine) {
  const { settings } = await settingsOn(spine);
  const schemas = await openSchemaStore(spine, "ARQON_SCHEMAS");
  const promoting: Required<Pick<AppliesOptions, "promote">> = {
    promote: (staged, decided) => promote(schemas, staged, { ...decided, versions_max: 1_000 }),
  };
  return { spine, settings, policies: await openPolicyStore(spine), schemas, ...promoting };
}
/** The stores of one world. */
export type Parts = Awaited<ReturnType<typeof partsOn>>;

/** The stores, which end with the scope. */
export async function startParts(): Promise<Parts & AsyncDisposable> {
  const engine = testSpine();
  const parts = await partsOn(engine.spine);
  return {
    ...parts,
    async [Symbol.asyncDispose]() {
      parts.settings.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** What an apply acts on in place of the stores. */
type Acting =
  & Partial<Pick<AppliesOptions, "policies" | "promote" | "documents">>
  & { readonly settings?: Pick<AppliesOptions["settings"], "read" | "replace"> };

/** Applies that watch no settings, unless `watches` says so. */
export function appliesOn(
  { settings: stored, policies, promote }: Omit<Parts, "promote"> & Pick<Acting, "promote">,
  { settings = stored, ...acting }: Acting = {},
  watches = false,
): Applies {
  return new Applies({
    settings: {
      read: (tenant) => settings.read(tenant),
      replace: (...given) => settings.replace(...given),
      get: (tenant) => stored.get(tenant),
      onChange: (tell) => watches ? stored.onChange(tell) : () => {},
    },
    policies,
    ...(promote && { promote }),
    ...acting,
    log: keptLog().log,
    now: () => SPINE_NOW_MS,
    random: (size_bytes) => crypto.getRandomValues(new Uint8Array(size_bytes)),
  });
}

/** The same stores, with calls that may be slow, fail before they are made, or lose their answer. */
export function faulty({ settings, policies, promote }: Parts, random: () => number): Acting {
  const wrap =
    <Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) =>
    async (...given: Given): Promise<Result> => {
      for (let turns = Math.floor(random() * 4); turns > 0; turns--) await Promise.resolve();
      const fate = random();
      if (fate < 0.08) throw new ArqonError("spine-unavailable", "before");
      const result = await call(...given);
      if (fate < 0.16) throw new ArqonError("spine-unavailable", "after");
      return result;
    };
  return {
    settings: {
      read: wrap(settings.read.bind(settings)),
      replace: wrap(settings.replace.bind(settings)),
    },
    policies: {
      read: wrap(policies.read.bind(policies)),
      replace: wrap(policies.replace.bind(policies)),
    },
    promote: wrap(promote),
  };
}

/** What a plan for these documents compares. */
export async function basisOf(applies: Applies, documents?: string) {
  const { settings, policies } = await applies.read("acme");
  return { settings: settings.revision, policies: policies.revision, documents };
}

/**
 * Versions that belong to a number, stored but not active. Their bytes are not valid descriptors, as these tests do not
 * read them.
 */
export async function stagedFor({ schemas }: Parts, number: number): Promise<StagedSchema[]> {
  return await Promise.all(SCHEMA_IDS.map(async (schema_id) => {
    const bytes = new TextEncoder().encode(`${schema_id} ${number}`);
    const staged = { schema_id, version: 1, sha256: sha256Of(bytes) };
    await schemas.stage(schema_id, staged, bytes);
    return staged;
  }));
}

/** The active numbers of each schema (0: none), of the rule and of the policy. */
export async function numbersOf({ schemas, settings, policies }: Parts) {
  const of_schemas = await Promise.all(SCHEMA_IDS.map(async (schema_id) => {
    const stored = await schemas.read(schema_id);
    if (stored === undefined) return 0;
    assert.equal(stored.head.versions.length, 1, "once");
    const text = new TextDecoder().decode(await schemas.bytes(schema_id, latestOf(stored.head)));
    return Number(text.split(" ")[1]);
  }));
  const { settings: { mirror, pending } } = await settings.read("acme");
  const { document: { current } } = await policies.read("acme");
  const rule = Math.round((mirror.rules[0]?.percent ?? 0) * 1_000);
  return { schemas: of_schemas, rule, policy: current.policies[0]?.order ?? 0, pending };
}

/** `numbersOf` when nothing is pending. */
export const numbers = (rule: number, policy = rule, schemas: readonly number[] = [0, 0]) => ({
  schemas,
  rule,
  policy,
  pending: undefined,
});
