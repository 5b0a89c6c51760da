/** Decisions for tests, stored in a journal without a Shield. Tests only. */
import { BlockBuilder, type BlockHole } from "../../../shared/journal/block.ts";
import type { JournalEntry } from "../../../shared/journal/record.ts";
import { configFrom } from "../../../shared/config/load.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { keptLog } from "../../testing/spine.ts";
import { JournalPlace } from "../journal_place.ts";

/** A decision of `ann` about a message in `lobby`, unless `change` says otherwise. */
export function decision(
  change: Partial<Omit<JournalEntry, "sender">> & { readonly user?: string } = {},
): JournalEntry {
  const { user = "ann", ...rest } = change;
  return {
    time_ms: 1_767_323_045_000,
    hook: "on_message",
    room: "lobby",
    trace: null,
    message_id: "m1",
    offset: null,
    sender: { user, connection: `c-${user}`, remote_ip: "192.0.2.7" },
    type: "chat",
    content_type: "application/json",
    payload: { form: "kept", data: new TextEncoder().encode("{}") },
    allowed: true,
    code: 0,
    reason: "",
    message: "",
    schema: null,
    chain_version: rest.policies === undefined ? null : 3,
    policies: [],
    ...rest,
  };
}

/** A journal's store and keys on that Spine. */
export function journalPlace(spine: Spine, now: () => number = Date.now): JournalPlace {
  return new JournalPlace({ config: configFrom({}), spine, log: keptLog().log, now });
}

/** A block to write. */
export interface WrittenBlock {
  readonly tenant?: string;
  readonly node?: string;
  readonly first?: number;
  /** Its series; absent: its own. */
  readonly series?: number;
  readonly number?: number;
  readonly holes?: readonly BlockHole[];
}

let alone = 1_000_000;

/** Stores one block with these decisions. */
export async function writeBlock(
  place: JournalPlace,
  entries: readonly JournalEntry[],
  { tenant = "acme", node = "s1", first = 0, holes = [], ...of }: WrittenBlock = {},
): Promise<void> {
  const builder = new BlockBuilder();
  for (const entry of entries) builder.add(entry);
  const keys = await (await place.keys()).forWriting(tenant, builder.users);
  const place_of = { series: alone++, number: 0, first, ...of };
  const owner = { tenant, node, meter_version: 4, fuel_limit: 10_000, chain_fuel_limit: 20_000 };
  const steps = builder.close(owner, place_of, holes, keys);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  await storeBytes(place, step.value, tenant, node);
}

/** Stores arbitrary bytes as a block. */
export async function storeBytes(
  place: JournalPlace,
  payload: Uint8Array,
  tenant_id = "acme",
  node_id = "s1",
): Promise<void> {
  const bounds = { ttl_seconds: 3_600, max_bytes: 16_777_216 };
  await (await place.store()).append({ tenant_id, node_id, ...bounds, payload });
}
