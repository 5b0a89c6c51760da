/** `[proof]`: transparency logs of records. A part of `../schema.ts`. */
import { z } from "zod";
import { decodeWitness } from "../../proof/note.ts";

const isWitnessUrl = (text: string) =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

/** `[proof]`. */
export const Proof = z.strictObject({
  records: z.array(z.enum(["audit", "journal", "usage"])).max(3).default([]).describe(
    "records that have a transparency log: audit of the bus, journal and usage of each tenant; rooms have one by proof of their class",
  ),
  origin: z.string().regex(/^[a-z0-9][a-z0-9./-]{0,127}$/, {
    error: 'expected a host and a path without a scheme, for example "bus.example.com/log"',
  }).default("arqonbus").describe(
    "begins the name of each log and of its key; choose one that no other bus has, and never change it",
  ),
  key_file: z.string().min(1).optional().describe(
    "file with an Ed25519 private key (PKCS #8 PEM) that signs every log; absent: a key for each tenant, made at first use and kept in the bus",
  ),
  witnesses: z.array(z.strictObject({
    url: z.string().max(2_048).refine(isWitnessUrl, { error: "expected an http or https URL" })
      .meta({ format: "uri" }).describe("its submission prefix, before /add-checkpoint"),
    vkey: z.string().max(512).refine((text) => decodeWitness(text) !== undefined, {
      error: "expected NAME+ID+KEY of an Ed25519 key, as arq proof witness prints it",
    }).describe("its verifier key"),
  })).max(16).default([]).describe(
    "witnesses (c2sp.org/tlog-witness) that are asked to cosign each checkpoint; one that does not answer within 2 s stops nothing",
  ),
  public_records: z.boolean().default(false).describe(
    "whether anybody may read checkpoints and tiles of the audit log, without a token; else operators may",
  ),
});
/** A checked `[proof]`. */
export type Proof = z.output<typeof Proof>;
