/**
 * What a target of ArqonBus may have beside the plain path, so that each feature has its price in every
 * scenario: a policy, a schema, durable rooms, or the runtime's own sockets. It measures nothing.
 */
import { create, fromJson, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { policyAdmin } from "../../../tests/peers/policy_admin.ts";
import type { AdminAnswer, PolicyAdmin } from "../../../tests/peers/policy_admin.ts";
import { schemaAdmin } from "../../../tests/peers/schema_admin.ts";
import { ROOT, UsageError } from "../../measure/scenario.ts";

/** The features. */
export const FEATURES = ["policy", "schema", "durable", "native"] as const;
/** One of `FEATURES`. */
export type Feature = typeof FEATURES[number];

/** A feature in words, for titles. */
export const FEATURE_TITLES: Readonly<Record<Feature, string>> = {
  policy: "bad_words",
  schema: "a schema",
  durable: "durable",
  native: "native sockets",
};

/** Reads the value of `--with`; the order is that of the tables. Throws `UsageError`. */
export function featuresNamed(list: string): Feature[] {
  const names = list.split(",").map((name) => name.trim()).filter((name) => name !== "");
  const odd = names.find((name) => !(FEATURES as readonly string[]).includes(name));
  if (odd !== undefined) {
    throw new UsageError(
      `--with expects some of ${FEATURES.join(",")}, got ${JSON.stringify(odd)}`,
    );
  }
  return FEATURES.filter((feature) => names.includes(feature));
}

/** The lines of `[server]` that a feature needs. */
export const featureServer = (feature: Feature | undefined): string =>
  feature === "native" ? 'websocket = "native"\n' : "";

/** The tables of the configuration that a feature needs. */
export function featureConfig(feature: Feature | undefined): string {
  if (feature === "policy") return "[policy]\nfuel_per_second = 1_000_000_000_000\n";
  if (feature === "durable") return '[[rooms]]\nroom = "*"\ndurable = true\n';
  return "";
}

type Admin = Parameters<typeof policyAdmin>[0];

function checked({ status, body }: AdminAnswer): Record<string, unknown> {
  if (status === 200) return body;
  throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
}

async function deploy(admin: PolicyAdmin, tenants: readonly string[]): Promise<void> {
  const module = await Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
  const { sha256 } = checked(await admin.upload(module));
  for (const tenant of tenants) {
    const hooks = ["on_message"];
    checked(await admin.post("deploy", { tenant, name: "bad-words", sha256, order: 0, hooks }));
  }
}

const MESSAGE = "bench.Load";

/** The schema of a body: a message with the body as its field 1, as a wire `as_field` sends it. */
async function bodySchema(): Promise<Uint8Array<ArrayBuffer>> {
  const body = { name: "body", number: 1, label: "LABEL_OPTIONAL", type: "TYPE_BYTES" };
  const file = fromJson(FileDescriptorProtoSchema, {
    name: "load.proto",
    package: "bench",
    syntax: "proto3",
    messageType: [{ name: "Load", field: [body] }],
  });
  const bytes = toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, { file: [file] }),
  );
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return await new Response(packed).bytes();
}

async function map(admin: Admin, tenants: readonly string[]): Promise<void> {
  const schemas = await schemaAdmin(admin);
  const schema_id = "bench-load";
  checked(await schemas.push(schema_id, await bodySchema()));
  for (const tenant of tenants) {
    checked(
      await schemas.map(tenant, { subject: `in.t.${tenant}.*`, schema_id, message: MESSAGE }),
    );
  }
}

/** Puts a feature into force for these tenants. Resolves when the node that was asked has it. */
export async function putInForce(
  feature: Feature | undefined,
  admin: Admin,
  tenants: readonly string[],
): Promise<void> {
  if (feature === "policy") await deploy(await policyAdmin(admin), tenants);
  if (feature === "schema") await map(admin, tenants);
}
