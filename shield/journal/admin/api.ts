/**
 * `/v1/journal` of the admin listener: reads a tenant's journal, says how much of it there is, erases a user
 * from it. Whether the caller may is checked before; what is read is `read.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { JournalLine } from "../../../shared/journal/record.ts";
import type { Env } from "../../../shared/env.ts";
import { readValue } from "../../admin/routing/admin_body.ts";
import { AdminTable, jsonBody, tenantInBody } from "../../admin/routing/admin_routes.ts";
import type { AdminCall } from "../../admin/routing/admin_routes.ts";
import { checked, Id, readQuery } from "../../admin/routing/query.ts";
import { JOURNAL_ABOUT, LINES_MAX } from "./openapi_journal.ts";
import { withPayloads } from "./payloads.ts";
import type { LogsOf } from "./payloads.ts";
import type { JournalPlace } from "../journal_place.ts";
import { OUTCOMES, parsePlace, placeText } from "./query.ts";
import type { JournalPlaceText, JournalQuery } from "./query.ts";
import { readingOf, readJournal, readNewest } from "./read.ts";
import type { JournalEnd } from "./read.ts";

/** Largest body, in bytes. */
const BODY_BYTES = 4_096;

/** What the admin API needs of the process. */
export interface JournalAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly place: JournalPlace;
  readonly logs: LogsOf;
}

const whole = z.string().regex(/^[0-9]{1,16}$/, { error: "expected a whole number" })
  .transform(Number).refine(Number.isSafeInteger, { error: "expected a whole number" });
const name = (units: number) => z.string().min(1).max(units);
const Place = z.string().transform((text, context): JournalPlaceText => {
  const place = parsePlace(text);
  if (place !== undefined) return place;
  context.addIssue({ code: "custom", message: "expected `next` of an answer before" });
  return z.NEVER;
});
const lines_error = { error: `expected a whole number from 1 to ${LINES_MAX}` };

const Wanted = {
  tenant: Id,
  room: Id.optional(),
  user: name(256).optional(),
  connection: Id.optional(),
  trace: z.string().regex(/^[0-9a-f]{32}$/, { error: "expected 32 lower-case hex digits" })
    .optional(),
  message_id: name(256).optional(),
  policy: name(64).optional(),
  outcome: z.enum(OUTCOMES, { error: `expected one of ${OUTCOMES.join(", ")}` }).optional(),
  since_ms: whole.optional(),
  until_ms: whole.optional(),
  after: Place.optional(),
  limit: z.string().regex(/^[0-9]{1,5}$/, lines_error).transform(Number)
    .refine((limit) => limit >= 1 && limit <= LINES_MAX, lines_error).default(1_000),
  newest: z.enum(["0", "1"], { error: "expected 0 or 1" }).default("0"),
  payload: z.enum(["0", "1"], { error: "expected 0 or 1" }).default("0"),
};
const Erased = z.strictObject({
  tenant: Id,
  user: z.string().min(1).max(256),
});

/** The routes of the journal's admin API. */
export const JOURNAL_ROUTES = new AdminTable<JournalAdminContext>({
  "/v1/journal": {
    GET: { scope: "tenant-in-query", about: JOURNAL_ABOUT.readJournal, handle: read },
  },
  "/v1/journal/status": {
    GET: { scope: "tenant-in-query", about: JOURNAL_ABOUT.journalStatus, handle: status },
  },
  "/v1/journal/erase": {
    POST: tenantInBody(
      JOURNAL_ABOUT.eraseFromJournal,
      jsonBody(
        Erased,
        async (request, schema) => checked(await readValue(request, BODY_BYTES), schema),
      ),
      erase,
    ),
  },
});

async function read(context: JournalAdminContext, call: AdminCall): Promise<Response> {
  const { payload, newest, ...query } = readQuery(call.url, Wanted) satisfies JournalQuery;
  const { place, logs, log } = context;
  if (newest === "1" && query.after !== undefined) {
    throw new ArqonError("invalid-settings", "after: nothing is behind the newest lines");
  }
  const reading = readingOf(place);
  const pages = newest === "1" ? readNewest(reading, query) : readJournal(reading, query);
  const shown = async (lines: readonly JournalLine[]) =>
    payload === "1" ? await withPayloads(lines, logs) : lines;
  // What fails at once is answered as such; later only the end is missing.
  const first = await pages.next();
  const opening = first.done === true ? [] : await shown(first.value);
  log.info("an operator reads a journal", { tenant_id: query.tenant, by: call.by });
  let step = first;
  let lines = opening;
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (step.done === true) {
        controller.enqueue(encoded([endOf(step.value)]));
        return controller.close();
      }
      controller.enqueue(encoded(lines));
      step = await pages.next();
      lines = step.done === true ? [] : await shown(step.value);
    },
    async cancel() {
      await pages.return({ next: { block: 0, lines: undefined }, is_end: false, is_cut: true });
    },
  }, { highWaterMark: 1 });
  return new Response(stream, { headers: { "content-type": "application/x-ndjson" } });
}

/** The last line of every whole answer. */
function endOf({ next, ...end }: JournalEnd): unknown {
  return { next: placeText(next), ...end };
}

function encoded(lines: readonly unknown[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

async function status(
  { place, node_id }: JournalAdminContext,
  { url }: AdminCall,
): Promise<Response> {
  const { tenant } = readQuery(url, { tenant: Id });
  const { blocks, bytes, first_ms, last_ms } = await (await place.store()).status(tenant);
  const times = { first_ms: first_ms ?? null, last_ms: last_ms ?? null };
  return Response.json({ node_id, tenant, blocks, bytes, ...times });
}

async function erase(
  { place, log, node_id }: JournalAdminContext,
  { by }: AdminCall,
  { tenant, user }: z.output<typeof Erased>,
): Promise<Response> {
  const erased = await (await place.keys()).erase(tenant, user, place.max_age_ms);
  // Who it was is in the audit log alone.
  log.info("a user was erased from the journal", { tenant_id: tenant, by, keys: erased });
  return Response.json({ node_id, tenant, erased: erased > 0 });
}
