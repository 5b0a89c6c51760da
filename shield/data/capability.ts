/** The data capability of a Shield: finds, exports and erases the data of tenants and users. */
import type { Capability } from "../capability.ts";
import { GROWING } from "../growing/capability.ts";
import { ERASED_MAX, ForgetAnswer, forgetHere } from "../../shared/cluster/cluster_erase.ts";
import { findBrain, type OnErased } from "./buckets.ts";
import { dataStores, keptBeside, type StoresContext } from "./stores.ts";
import { COUNT, ID, list, object, TEXT } from "../openapi/openapi_parts.ts";
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { Env } from "../../shared/env.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { readValue } from "../../shared/listeners/request_body.ts";
import { type AdminCall, AdminTable, inBody, jsonBody } from "../admin/routing/admin_routes.ts";
import { boundedText, checked, Id, readQuery, wholeNumber } from "../admin/routing/query.ts";
import { type DataStore, isTenant, type Whose } from "./store.ts";

const BODY_BYTES = 4_096;

interface DataContext extends Pick<Env, "config" | "log" | "node_id" | "now"> {
  readonly stores: readonly DataStore[];
  readonly asker: StoresContext["asker"];
  readonly spine: Pick<Spine, "scrub">;
}

const User = z.string().min(1).max(256);
const Wanted = {
  tenant: Id.describe("the tenant"),
  user: boundedText(256, "only data of this user"),
  room: Id.optional().describe("only data of this room and of its companion rooms"),
  offset: wholeNumber("only this message of the room", 1),
};
const Erased = z.strictObject({
  tenant: Id,
  user: User.optional(),
  room: Id.optional(),
  offset: z.int().min(1).optional(),
  all: z.literal(true).optional().describe("the whole tenant; without a user and a room"),
  through: z.boolean().optional().describe(
    "in a NATS log of an older ArqonBus, erasing a message also erases the earlier ones of its room",
  ),
});

/** The routes. */
export const DATA_ROUTES = new AdminTable<DataContext>("data", {
  "GET /v1/data": {
    audit: "data.find",
    id: "findData",
    summary:
      "lists the stored data of a tenant, a user, a room or a message by store, and the data that an erasure keeps",
    query: Wanted,
    answer: object({
      node_id: ID,
      tenant: ID,
      stores: list(
        object({ store: TEXT, where: TEXT, count: COUNT, bytes: COUNT, stays: TEXT }, ["stays"]),
      ),
      kept: { type: "object", additionalProperties: TEXT },
    }),
    scope: "tenant-in-query",
    handle: find,
  },
  "GET /v1/data/export": {
    audit: { read: "data.export" },
    id: "exportData",
    summary: "exports all of it, one JSON object per line; the last line has their number",
    query: Wanted,
    answer: TEXT,
    type: "application/x-ndjson",
    scope: "tenant-in-query",
    handle: exportAll,
  },
  "POST /v1/data/erase": {
    audit: "data.erase",
    id: "eraseData",
    summary:
      "erases it: within a second it is no longer served, and a recovery across the gap is refused",
    answer: object({
      node_id: ID,
      tenant: ID,
      stores: list(object({ store: TEXT, erased: COUNT, failed: TEXT }, ["failed"])),
    }),
    ...inBody(
      jsonBody(
        Erased,
        async (request, schema) => checked(await readValue(request, BODY_BYTES), schema),
      ),
      erase,
    ),
  },
});

function requireWhole({ room, offset }: Whose): void {
  if (offset === undefined || room !== undefined) return;
  throw new ArqonError("invalid-settings", "offset needs a room");
}

async function find(
  { stores, node_id, config, now }: DataContext,
  { url }: AdminCall,
): Promise<Response> {
  const whose = readQuery(url, Wanted);
  requireWhole(whose);
  const found = [];
  for (const store of stores) {
    const stock = await store.stock(whose);
    if (stock !== undefined && stock.count > 0) found.push({ store: store.name, ...stock });
  }
  const { tenant } = whose;
  const kept = keptBeside(config.admin.backup_days, now());
  return Response.json({ node_id, tenant, stores: found, kept });
}

async function* linesOf(stores: readonly DataStore[], whose: Whose): AsyncGenerator<string> {
  let lines = 0;
  for (const store of stores) {
    for await (const line of store.lines(whose)) {
      lines++;
      yield line;
    }
  }
  yield JSON.stringify({ end: true, lines });
}

async function exportAll({ stores, log }: DataContext, { url, by }: AdminCall): Promise<Response> {
  const whose = readQuery(url, Wanted);
  requireWhole(whose);
  const lines = linesOf(stores, whose);
  // An early failure gets an error response; after a later one only the last line is missing.
  let next = await lines.next();
  log.info("an operator exports stored data", { tenant_id: whose.tenant, by });
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (next.done === true) return controller.close();
      controller.enqueue(encoder.encode(`${next.value}\n`));
      next = await lines.next();
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
  return new Response(stream, { headers: { "content-type": "application/x-ndjson" } });
}

async function erase(
  { stores, asker, spine, node_id, log }: DataContext,
  { by }: AdminCall,
  { all, ...whose }: z.output<typeof Erased>,
): Promise<Response> {
  requireWhole(whose);
  if (isTenant(whose) !== (all === true)) {
    const detail = "all: true erases a whole tenant, and excludes user and room";
    throw new ArqonError("invalid-settings", detail);
  }
  const done: { store: string; erased: number; failed?: string }[] = [];
  const brainOf = findBrain(asker);
  for (const store of stores) {
    try {
      done.push({ store: store.name, erased: await store.erase(whose, brainOf) });
    } catch (error) {
      // The other stores are still erased; a repeated request erases the rest.
      const failed = error instanceof Error ? error.message : String(error);
      log.warn("a store failed to erase its data", { store: store.name, error });
      done.push({ store: store.name, erased: 0, failed });
    }
  }
  await spine.scrub?.();
  const { tenant } = whose;
  // Only the audit log names the user.
  const erased = done.reduce((sum, one) => sum + one.erased, 0);
  log.info("an operator erased stored data", { tenant_id: tenant, by, erased });
  const shown = done.filter(({ erased, failed }) => erased > 0 || failed !== undefined);
  return Response.json({ node_id, tenant, stores: shown });
}

const TITLE = "finds, exports and erases the data of tenants and users";

/** The capability, for a Shield's list. */
export const DATA: Capability = {
  name: "data",
  title: TITLE,
  admin: { tables: [DATA_ROUTES], tags: { data: TITLE } },
  start({ config, spine, log, now }, { node_id, logs, running, cluster: { asker } }) {
    const onErased: OnErased = async (tenant, entries) => {
      const growing = running.of(GROWING);
      const erased = growing?.erased(entries) ?? [];
      for (let at = 0; at < erased.length; at += ERASED_MAX) {
        const params = { tenant, messages: erased.slice(at, at + ERASED_MAX) };
        growing?.forget(params);
        await asker?.ask("forget_growing", ForgetAnswer, { params, of: "shield" });
      }
    };
    const stores = dataStores({ spine, now, logs, blocks: running.keeps(), asker, onErased });
    const part = log.child({ part: "data" });
    const context = { config, stores, asker, spine, node_id, now, log: part };
    const forget = (params: unknown) =>
      forgetHere((tenant_id) => running.forget(tenant_id), params);
    const forgetGrowing = (params: unknown) => {
      running.of(GROWING)?.forget(params);
      return { forgotten: true };
    };
    return {
      routes: DATA_ROUTES.serve(context),
      questions: { forget, forget_growing: forgetGrowing },
    };
  },
};
