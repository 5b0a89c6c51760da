/** `arq proof decide`: repeats journalled decisions with the module that decided, and shows their places in the log. */
import { canonicalJson } from "../../../shared/canonical_json.ts";
import { configFrom } from "../../../shared/config/load.ts";
import type { JournalRecord, PolicyRecord } from "../../../shared/journal/record.ts";
import { blockTree, payloadHash } from "../../../shared/proof/entry.ts";
import type { ReadEntry } from "../../../shared/proof/reader.ts";
import { findAdmin } from "../../bus/admin.ts";
import { busModules, fileChunks } from "../../replay/bus_replay.ts";
import { journalRecords } from "../../replay/journal_chunks.ts";
import { Repeater, type ReplayModule } from "../../replay/repeater.ts";
import { createModuleBook } from "../../replay/replay_modules.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { filesBySha } from "../policy/policy_replay.ts";
import { continued, evident, openSource, openTree } from "./source.ts";
import type { Flags } from "../../program/flags.ts";

const DECISIONS_MAX = 10_000;

/** The hashes that the log may have of a record: the log has a payload of a room's log as a reference. */
function hashesOf(record: JournalRecord): string[] {
  const { payload, offset } = record;
  const hash = (one: JournalRecord) => payloadHash(canonicalJson(one));
  if (payload.form === "reference") {
    return [hash({ ...record, payload: { form: "reference", bytes: payload.bytes } })];
  }
  if (payload.form !== "kept" || offset === null) return [hash(record)];
  const { length: bytes } = Uint8Array.fromBase64(payload.data);
  return [hash(record), hash({ ...record, payload: { form: "reference", bytes } })];
}

/** Repeats the call of one policy; the result, and whether it equals the recorded one. */
async function repeated(
  record: JournalRecord,
  policy: PolicyRecord,
  moduleOf: (sha256: string) => Promise<ReplayModule | undefined>,
): Promise<readonly [said: string, is_same: boolean]> {
  const candidate = await moduleOf(policy.module);
  if (candidate === undefined) return ["not repeated: its module is missing", false];
  const repeater = new Repeater({
    selection: { policy: policy.name },
    isSelected: () => true,
    candidate,
    moduleOf,
  });
  await repeater.take(record);
  const { same, fuel_not_compared, stateful_fuel, different, not_run, unknown } =
    repeater.tally.recorded;
  if (same > 0 && fuel_not_compared > 0) {
    return ["repeated; its fuel has other prices and is not compared", true];
  }
  if (same > 0) return ["repeated", true];
  if (stateful_fuel > 0) return ["repeated; its fuel differs, because it keeps memory", true];
  const [why] = not_run.keys();
  if (why !== undefined) return [`the Shield decided, not the module: ${why}`, true];
  const missing = [...unknown.keys()].join(", ");
  if (missing !== "") return [`not repeated: the record lacks ${missing}`, false];
  return [`decided differently: ${[...different.keys()].join(", ")}`, false];
}

/** Repeats journalled decisions, and shows the index of each in the log. */
export async function decide(io: Io, file: string, flags: Flags): Promise<number> {
  const counts = { lines: 0, bad_lines: 0, holes: 0 };
  const records: JournalRecord[] = [];
  const expected = () =>
    new CommandError(`${printable(file)}: expected up to ${DECISIONS_MAX} decisions of one tenant`);
  for await (const record of journalRecords(await fileChunks(io, file), counts)) {
    const is_other = record.tenant !== (records[0] ?? record).tenant;
    if (records.push(record) > DECISIONS_MAX || is_other) throw expected();
  }
  const tenant = records[0]?.tenant;
  if (tenant === undefined) throw expected();
  const source = await openSource(io, flags.log ?? blockTree("journal", tenant), flags);
  const opened = await openTree(io, source, flags);
  for (const kept of flags.older ?? []) await continued(io, kept, opened);
  const { tree } = opened;
  const wanted = new Map(records.flatMap((one) => hashesOf(one).map((hash) => [hash, one])));
  const places = new Map<JournalRecord, ReadEntry>();
  await evident(async () => {
    for await (const one of tree.entries()) {
      const record = "sha256" in one.entry ? wanted.get(one.entry.sha256) : undefined;
      if (record !== undefined) places.set(record, one);
    }
  });
  const known = await filesBySha(io, flags.module ?? []);
  let onBus: ReturnType<typeof busModules> | undefined;
  const fetched = async (sha256: string) => {
    if (flags.module !== undefined) return undefined;
    onBus ??= busModules(await findAdmin(io, flags), tenant);
    return await onBus(sha256);
  };
  const moduleOf = createModuleBook(
    async (sha256) => known.get(sha256) ?? await fetched(sha256),
    configFrom({}).platform.overseer.memory_limit_pages,
  );
  let is_whole = true;
  for (const record of records) {
    const place = places.get(record);
    const proof = place && await evident(() => tree.proofOf(place));
    const policies = [];
    for (const policy of record.policies) {
      const { name, module, allowed, code, reason, units, budget_units } = policy;
      const [said, is_same] = await repeated(record, policy, moduleOf);
      is_whole &&= is_same;
      policies.push({ name, module, allowed, code, reason, units, budget_units, said, is_same });
    }
    is_whole &&= place !== undefined;
    const { id, allowed, code, reason } = record;
    const found = { id, allowed, code, reason, index: place?.index ?? null, policies, proof };
    const text = decisionText(found, tree.checkpoint.size);
    await print(io.stdout, flags.json === true ? `${JSON.stringify(found)}\n` : text);
  }
  return is_whole ? EXIT.ok : EXIT.failure;
}

type Verdict = Pick<PolicyRecord, "allowed" | "code" | "reason">;
type Made = Verdict & Pick<PolicyRecord, "name" | "module" | "units" | "budget_units">;

function decisionText(
  { id, index, policies, ...decided }: Verdict & {
    readonly id: string;
    readonly index: number | null;
    readonly policies: readonly (Made & { readonly said: string })[];
  },
  size: number,
): string {
  const verdict = ({ allowed, code, reason }: Verdict) =>
    allowed ? "allowed" : `refused (${code} ${reason})`;
  const place = index === null
    ? `is not among the ${size} of the log`
    : `is entry ${index} of ${size}`;
  const lines = policies.map((one) => {
    const used = `${one.units} of ${one.budget_units} units`;
    return `  ${one.name}, module ${one.module}: ${verdict(one)}, ${used}: ${one.said}\n`;
  });
  return printable(`${id} ${verdict(decided)} ${place}`) + "\n" + lines.join("");
}
