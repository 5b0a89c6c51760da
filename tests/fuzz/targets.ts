/** All fuzz targets, by name. */
import { PLANTED } from "./planted.ts";
import type { MakeTarget, Target } from "./target.ts";
import {
  clientFrames,
  envelopeTarget,
  replication,
  serverFrames,
  textFrames,
} from "./targets_frames.ts";
import {
  claims,
  configs,
  historyQueries,
  keySets,
  storedDocuments,
  tokens,
} from "./targets_texts.ts";
import { descriptorSets, gzippedSets, judgedData, modules } from "./targets_uploads.ts";

const MAKERS: Readonly<Record<string, MakeTarget>> = {
  "client-frames": clientFrames,
  "server-frames": serverFrames,
  "text-frames": textFrames,
  "envelopes": envelopeTarget,
  "replication": replication,
  "tokens": tokens,
  "claims": claims,
  "key-sets": keySets,
  "configs": configs,
  "history-queries": historyQueries,
  "stored-documents": storedDocuments,
  "descriptor-sets": descriptorSets,
  "gzipped-sets": gzippedSets,
  "judged-data": judgedData,
  "modules": modules,
};

/** Their names, in display order. */
export const TARGETS: readonly string[] = Object.keys(MAKERS);

const FOUND = new URL("./found/", import.meta.url);

/** Inputs that once broke it: saved in `found/`, one file each, and used as seeds since. */
async function foundOf(name: string): Promise<Uint8Array[]> {
  const files: string[] = [];
  for await (const { name: file } of Deno.readDir(FOUND)) {
    if (file.startsWith(`${name}.`)) files.push(file);
  }
  return await Promise.all(files.sort().map((file) => Deno.readFile(new URL(file, FOUND))));
}

/** Throws RangeError for an unknown name. */
export async function makeTarget(name: string): Promise<Target> {
  const makers = { ...MAKERS, ...PLANTED };
  const make = Object.hasOwn(makers, name) ? makers[name] : undefined;
  if (make === undefined) {
    throw new RangeError(`no target is called ${name}: ${TARGETS.join(", ")}`);
  }
  const target = await make();
  return { ...target, seeds: [...target.seeds, ...await foundOf(name)] };
}
