/** The embedded engine's two databases as parts of a backup, both of one moment. */
import type { SpineBackup } from "../spine/contract/spine.ts";
import type { GivenPart } from "./archive.ts";

/** The folder of the databases in the archive; the facts about each precede it, as `NAME.json`. */
export const DATA_FOLDER = "data";

/** The parts. The caller releases the backup. */
export function* embeddedParts({ taken_ms, files }: SpineBackup): Generator<GivenPart> {
  for (const { name, size_bytes, sequences, read } of files) {
    const facts = { kind: "database", name, taken_ms, sequences: { ...sequences } } as const;
    const head = new TextEncoder().encode(`${JSON.stringify(facts, undefined, 2)}\n`);
    const path = `${DATA_FOLDER}/${name}`;
    yield {
      facts,
      files: [
        { path: `${path}.json`, size_bytes: head.length, bytes: [head] },
        { path, size_bytes, bytes: read() },
      ],
    };
  }
}
