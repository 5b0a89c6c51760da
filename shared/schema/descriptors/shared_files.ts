/**
 * The files that come with every Protobuf compiler and with protovalidate, kept once for the whole process. Nearly
 * every schema imports them, and as objects they are a hundred times the size of a schema's own (half a megabyte). They
 * are identified by their bytes, never by their name alone, so that no file can replace another. Keeps decoded and
 * linked files; checks nothing.
 */
import { createHash } from "node:crypto";
import { create, createFileRegistry, type DescFile, type FileRegistry } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

const SHARED_NAME = /^(?:google\/protobuf|buf\/validate)\/[a-z0-9_/]+\.proto$/;
/**
 * Encoded bytes of the kept files, about a twentieth of their size as objects: room for four versions of all of them.
 * Other files are decoded for each schema.
 */
const KEPT_BYTES = 524_288;
/** The most paths from a file to its imports; the linker walks each of them. */
const IMPORT_WAYS = 64;
/** How often one file is linked with different versions of its imports, at most. */
const LINKS_MAX = 4;

interface Link {
  readonly imports: readonly DescFile[];
  readonly linked: DescFile;
}

interface SharedFile {
  readonly proto: FileDescriptorProto;
  readonly size_bytes: number;
}

/** The kept files by the hash of their bytes, least recently used first. */
const kept = new Map<string, SharedFile>();
let kept_bytes = 0;
/** The links of each shared file; an entry lives as long as the file. */
const links = new WeakMap<FileDescriptorProto, Link[]>();
const ways = new WeakMap<DescFile, number>();

/** The kept files, for metrics and tests. */
export function sharedFiles(): { readonly files: number; readonly encoded_bytes: number } {
  return { files: kept.size, encoded_bytes: kept_bytes };
}

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64");

/** The kept decoded file of these bytes, or undefined. It must not be changed. */
export function findShared(bytes: Uint8Array): FileDescriptorProto | undefined {
  if (bytes.length > KEPT_BYTES) return undefined;
  const hash = hashOf(bytes);
  const found = kept.get(hash);
  if (found === undefined) return undefined;
  kept.delete(hash);
  kept.set(hash, found);
  return found.proto;
}

/** Keeps a checked file if it is one of the shared ones. */
export function keepShared(bytes: Uint8Array, proto: FileDescriptorProto): void {
  if (isShared(proto) || !SHARED_NAME.test(proto.name) || bytes.length > KEPT_BYTES) return;
  markShared(proto);
  kept.set(hashOf(bytes), { proto, size_bytes: bytes.length });
  kept_bytes += bytes.length;
  for (const [hash, { size_bytes }] of kept) {
    if (kept_bytes <= KEPT_BYTES) return;
    kept.delete(hash);
    kept_bytes -= size_bytes;
  }
}

/** Whether this file object may be linked for many schemas. */
export function isShared(proto: FileDescriptorProto): boolean {
  return links.has(proto);
}

/** Marks a file derived from a shared one as shared, too. */
export function markShared(proto: FileDescriptorProto): void {
  if (!links.has(proto)) links.set(proto, []);
}

/**
 * The linked file, the same for all callers with the same imports; undefined if it is not shared, or imports too much.
 * `imports`: those of `proto.dependency`, linked and shared. Throws the linker's error.
 */
function linkShared(
  proto: FileDescriptorProto,
  imports: readonly DescFile[],
): DescFile | undefined {
  const known = links.get(proto);
  if (known === undefined) return undefined;
  const same = known.find((link) => link.imports.every((file, at) => file === imports[at]));
  if (same !== undefined) return same.linked;
  const count = imports.reduce((sum, file) => sum + (ways.get(file) ?? 1), 1);
  if (count > IMPORT_WAYS) return undefined;
  const by_name = new Map(imports.map((file) => [file.proto.name, file]));
  const linked = createFileRegistry(proto, (name) => by_name.get(name)).getFile(proto.name);
  if (linked === undefined) return undefined;
  ways.set(linked, count);
  known.push({ imports, linked });
  if (known.length > LINKS_MAX) known.shift();
  return linked;
}

/** A name that no file of a set has. */
const NOWHERE = "";

function alreadyLinked(ordered: readonly FileDescriptorProto[]): Map<string, DescFile> {
  const linked = new Map<string, DescFile>();
  for (const file of ordered) {
    const imports = file.dependency.flatMap((name) => linked.get(name) ?? []);
    const found = imports.length === file.dependency.length ? linkShared(file, imports) : undefined;
    if (found !== undefined) linked.set(file.name, found);
  }
  return linked;
}

/**
 * Links the other files. The linker accepts linked files only as imports, so a file that does not exist imports the
 * other ones; it links imports from the last to the first.
 */
function linkRest(
  rest: readonly FileDescriptorProto[],
  linked: ReadonlyMap<string, DescFile>,
): FileRegistry {
  const own = new Map(rest.map((file) => [file.name, file]));
  const dependency = [...own.keys()].reverse();
  const root = create(FileDescriptorProtoSchema, { name: NOWHERE, dependency });
  return createFileRegistry(root, (name) => linked.get(name) ?? own.get(name));
}

/** Links the files of `ordered`: each after its imports, all of them present. Throws the linker's error. */
export function linkFiles(ordered: readonly FileDescriptorProto[]): FileRegistry {
  const linked = alreadyLinked(ordered);
  const rest = linkRest(ordered.filter(({ name }) => !linked.has(name)), linked);
  const files = ordered.flatMap(({ name }) => linked.get(name) ?? rest.getFile(name) ?? []);
  return createFileRegistry({ ...rest, files });
}
