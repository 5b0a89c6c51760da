/** `[usage]`: what is counted of each tenant's use, what it costs, and budgets of it. A part of `schema.ts`. */
import { z } from "zod";
import { always, count, id, refuseRepeated } from "./values/schema_values.ts";

const price = (text: string) => z.number().min(0).optional().describe(`price of one ${text}`);

const PRICES = {
  messages_in: price("message or command that was taken"),
  bytes_in: price("byte of them"),
  messages_out: price("frame to a subscriber"),
  bytes_out: price("byte of those"),
  deliveries: price("message that was handed to a subscriber"),
  connection_minutes: price("minute of an open connection"),
  fuel: price("unit of fuel of policies and reducers (500 instructions)"),
  schema_steps: price("check against a schema, or step of a rule in one"),
  commands: price("command"),
  log_bytes: price("byte stored in the log of a durable room"),
  reads: price("page of stored messages that was read, for history or a stream"),
  read_bytes: price("byte of answers made of them"),
};
/** The units of budgets: a single unit, or the total cost. */
const BUDGET_UNITS = [...Object.keys(PRICES), "cost"] as (keyof typeof PRICES | "cost")[];
const MONTH_DAYS = 31;

/** Budgets with equal members are duplicates: the second would replace the first. */
const SAME_BUDGET = {
  list: "budgets",
  members: ["per", "unit", "action"],
  shown: "unit",
  same: "the same budget",
  expected: "expected one for each per, unit and action",
} as const;

/** A budget of one tenant. */
export const TenantBudget = z.strictObject({
  per: z.enum(["day", "month"]).describe("how long it is for, by UTC"),
  unit: z.enum(BUDGET_UNITS).describe("what of: a unit of the ledger of use, or cost"),
  limit: z.number().min(0).describe("how much of it may be used"),
  action: z.enum(["warn", "slow", "refuse"]).describe(
    "once used up: warn, a few messages a second (slow), or none until the period ends (refuse)",
  ),
  messages_per_second: count(
    1,
    1_000_000,
    "with slow: messages and commands per second that each Shield still accepts from the tenant",
  ),
});
export type TenantBudget = z.output<typeof TenantBudget>;

const refuseSame = refuseRepeated({
  ...SAME_BUDGET,
  list: "usage.budgets",
  members: ["tenant", ...SAME_BUDGET.members],
});
/** Budgets with the tenant as a text: "" if the budget applies to each tenant. */
const forEach = (given: unknown): unknown =>
  Array.isArray(given) ? given.map((one: object) => ({ tenant: "", ...one })) : given;

/** `[usage]`. */
export const Usage = z.strictObject({
  enabled: z.boolean().default(false).describe(
    "count each tenant's use per minute, by room class, user class and policy",
  ),
  user_claim: z.string().min(1).max(64).optional().describe(
    'claim of the token that has the class of its user, for example "plan"; absent: all are one class',
  ),
  retention_days: count(90, 3_650, "age at which use is forgotten"),
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(268_435_456).describe(
    "size of the ledger of all tenants; above, the oldest of any tenant goes",
  ),
  prices: z.strictObject(PRICES).default({}).describe(
    "price of one of each unit, in any currency; summed as `cost`",
  ),
  prices_from: z.iso.date().optional().describe(
    'first day (UTC) of these prices, for example "2026-12-01"; absent: the day they are first configured',
  ),
  budgets: z.array(TenantBudget.extend({
    tenant: id.optional().describe(
      "the tenant; absent: each tenant without a budget of its own like it",
    ),
  })).max(10_000).superRefine(
    (given: unknown, context) => refuseSame(forEach(given), context),
    always,
  ).default([]).describe("what tenants may use per day or month, and the action beyond"),
}).superRefine(({ enabled, budgets, retention_days }, context) => {
  const refuse = (message: string) =>
    context.addIssue({ code: "custom", path: ["budgets"], message });
  if (budgets.length > 0 && !enabled) refuse("expected enabled = true: nothing is counted");
  const is_long = budgets.some(({ per }) => per === "month");
  if (is_long && retention_days < MONTH_DAYS) {
    refuse(`expected retention_days of ${MONTH_DAYS} or more with a budget of a month`);
  }
});
/** `[usage]`. */
export type Usage = z.output<typeof Usage>;
