/**
 * Links decoded files to a registry of types. Files that many schemas share are linked once for all of them
 * (`shared_files.ts`), the others for this set alone. Checks nothing.
 */
import { create, createFileRegistry, type DescFile, type FileRegistry } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { linkShared } from "./shared_files.ts";

/** A name that no file of a set has. */
const NOWHERE = "";

/** The files that are linked already, by name. */
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
