/** `arq schema get`: a version of a schema as file or text. */
import { findAdmin, streamAdmin } from "../../bus/admin.ts";
import { cannotWrite, CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import {
  readDescriptorSet,
  SchemaError,
} from "../../../shared/schema/descriptors/descriptor_set.ts";
import { protoText } from "../../schemas/proto_text.ts";
import { plural } from "../../../shared/plural.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { writeOutput } from "./schema_build.ts";
import { schemaPath } from "./schema_push.ts";
import type { Flags } from "../../program/flags.ts";

/** Files that come with every compiler and package, which nobody wants as text. */
const LIBRARY = /^(google\/protobuf|buf\/validate)\//;

/** The bytes of a version as they were registered. */
async function download(
  io: Io,
  id: string,
  flags: ConnectionFlags & { readonly version?: number },
): Promise<Uint8Array> {
  const version = flags.version === undefined ? "latest" : String(flags.version);
  const path = schemaPath(id, `/versions/${version}`);
  return await new Response(await streamAdmin(io, await findAdmin(io, flags), path)).bytes();
}

/** Writes a version of a schema: its bytes, or its files as text with `--proto`. */
export async function schemaGet(io: Io, id: string, flags: Flags): Promise<number> {
  const { output, proto = false, json = false } = flags;
  if (!proto && !json && output === undefined && io.stdout.is_tty) {
    throw usageError("it is binary: give -o FILE, or --proto for text");
  }
  const bytes = await download(io, id, flags);
  if (proto) return await getProto(io, id, bytes, flags);
  if (json && output === undefined) {
    throw usageError("--json says what -o FILE or --proto has written; give one of them");
  }
  if (output === undefined) {
    await io.stdout.write(bytes);
    return EXIT.ok;
  }
  await writeOutput(io, output, bytes);
  const text = json
    ? JSON.stringify({ schema_id: id, file: output, size_bytes: bytes.length })
    : printable(`${output}: ${bytes.length} bytes`);
  await print(io.stdout, `${text}\n`);
  return EXIT.ok;
}

/** The set's own files as text, by path. */
function textsOf(id: string, bytes: Uint8Array): Map<string, string> {
  try {
    const { set, registry } = readDescriptorSet(bytes);
    const names = set.file.map(({ name }) => name).filter((name) => !LIBRARY.test(name)).sort();
    return new Map(names.flatMap((name) => {
      const file = registry.getFile(name);
      return file === undefined ? [] : [[name, protoText(file, registry)] as const];
    }));
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`${id}: what is stored is no descriptor set: ${error.message}`);
  }
}

/** Whether a path in a set stays below the folder; others are not written to the disk. */
function isPlain(path: string): boolean {
  // deno-lint-ignore no-control-regex
  return !/(^|[\\/])\.\.?([\\/]|$)|^[\\/]|^[A-Za-z]:|[\u0000-\u001f]/.test(path);
}

async function getProto(
  io: Io,
  id: string,
  bytes: Uint8Array,
  { output, json = false }: Flags,
): Promise<number> {
  const texts = textsOf(id, bytes);
  if (json && output === undefined) {
    const files = Object.fromEntries(texts);
    await print(io.stdout, `${JSON.stringify({ schema_id: id, files })}\n`);
    return EXIT.ok;
  }
  if (output === undefined) {
    const parts = [...texts].map(([name, text]) => `// ${printable(name)}\n${text}`);
    await print(io.stdout, parts.join("\n"));
    return EXIT.ok;
  }
  const unsafe = [...texts.keys()].find((name) => !isPlain(name));
  if (unsafe !== undefined) throw new CommandError(`${printable(unsafe)}: not a path below -o`);
  for (const [name, text] of texts) {
    const folder = `${output}/${name}`.replace(/\/[^/]*$/, "");
    const path = resolvePath(io.cwd, folder);
    await io.files.makeDirectory(path).catch((error: unknown) => {
      throw cannotWrite(path, error);
    });
    await writeOutput(io, `${output}/${name}`, new TextEncoder().encode(text));
  }
  const text = json
    ? JSON.stringify({ schema_id: id, folder: output, files: [...texts.keys()] })
    : printable(`${output}: ${plural(texts.size, "file")}`);
  await print(io.stdout, `${text}\n`);
  return EXIT.ok;
}
