/** `[usage]`: what is counted of each tenant's use, and what it costs. A part of `schema.ts`. */
import { z } from "zod";
import { count } from "./schema_values.ts";

const price = (text: string) => z.number().min(0).optional().describe(`price of one ${text}`);

/** `[usage]`. */
export const Usage = z.strictObject({
  enabled: z.boolean().default(false).describe(
    "count what each tenant uses, by room class, class of user and policy, minute by minute",
  ),
  user_claim: z.string().min(1).max(64).optional().describe(
    'claim of the token that has the class of its user, for example "plan"; absent: all are one class',
  ),
  flush_ms: count(
    5_000,
    60_000,
    "how often a Shield writes the minute that runs; one that is killed loses what it counted since",
  ),
  rows: count(1_024, 4_096, "rows of one tenant in a minute; what is beyond counts as _other"),
  queue_bytes: z.int().min(65_536).max(1_073_741_824).default(16_777_216).describe(
    "bytes of minutes that wait on a Shield for their store; what is above is lost, the oldest first",
  ),
  retention_days: count(90, 3_650, "age at which use is forgotten"),
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(268_435_456).describe(
    "size of the ledger of all tenants; above, the oldest of it goes, whose it is",
  ),
  tenant_bytes: z.int().min(65_536).max(1_099_511_627_776).default(67_108_864).describe(
    "size of the ledger of one tenant; above, its oldest goes",
  ),
  prices: z.strictObject({
    messages_in: price("message or command that was taken"),
    bytes_in: price("byte of them"),
    messages_out: price("frame to a subscriber"),
    bytes_out: price("byte of those"),
    deliveries: price("message that was handed to a subscriber"),
    connection_minutes: price("minute of an open connection"),
    fuel: price("unit of fuel of policies (500 instructions)"),
    schema_steps: price("check against a schema, or step of a rule in one"),
    commands: price("command"),
    log_bytes: price("byte stored in the log of a durable room"),
  }).default({}).describe("what one of each unit costs, in any currency: adds up to `cost`"),
});
