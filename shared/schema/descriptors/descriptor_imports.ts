/**
 * The order and the visibility of imports in a descriptor set. Nothing is fetched; a file that is not in the set does
 * not exist.
 */
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { quoteName, SchemaError } from "../schema_error.ts";

function byName(files: readonly FileDescriptorProto[]): Map<string, FileDescriptorProto> {
  const found = new Map<string, FileDescriptorProto>();
  for (const file of files) {
    if (file.name === "" || file.name.length > 1_024) {
      throw new SchemaError(
        "a file of the descriptor set has no name, or one above 1024 characters",
      );
    }
    if (found.has(file.name)) {
      throw new SchemaError(`file ${quoteName(file.name)} is in the descriptor set twice`);
    }
    found.set(file.name, file);
  }
  return found;
}

/** The most edges between files; each costs time in all later steps. */
const IMPORTS_MAX = 20_000;

function checkImports(files: readonly FileDescriptorProto[]): void {
  let count = 0;
  for (const file of files) {
    count += file.dependency.length;
    if (count > IMPORTS_MAX) {
      throw new SchemaError(`the descriptor set has more than ${IMPORTS_MAX} imports`);
    }
    if (new Set(file.dependency).size < file.dependency.length) {
      throw new SchemaError(`file ${quoteName(file.name)} imports a file twice`);
    }
  }
}

function missing(file: FileDescriptorProto, dependency: string): SchemaError {
  return new SchemaError(
    `file ${quoteName(file.name)} imports ${quoteName(dependency)}, which is not in the ` +
      `descriptor set; build it with its imports`,
  );
}

/**
 * The files, each after its imports, otherwise in the given order. Throws SchemaError for a file without a name or
 * twice, a missing import and an import cycle.
 */
export function orderFiles(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const known = byName(files);
  checkImports(files);
  const ordered = new Set<FileDescriptorProto>();
  const path: string[] = [];
  const visit = (file: FileDescriptorProto): void => {
    if (ordered.has(file)) return;
    const earlier = path.indexOf(file.name);
    if (earlier >= 0) {
      const cycle = [...path.slice(earlier), file.name];
      const shown = cycle.length > 12 ? [...cycle.slice(0, 10), "…", ...cycle.slice(-1)] : cycle;
      throw new SchemaError(`files import each other in a circle: ${shown.join(" → ")}`);
    }
    path.push(file.name);
    for (const dependency of file.dependency) {
      const imported = known.get(dependency);
      if (imported === undefined) throw missing(file, dependency);
      visit(imported);
    }
    path.pop();
    ordered.add(file);
  };
  for (const file of files) visit(file);
  return [...ordered];
}

/** The files whose types each file may use: itself, its imports, and their public imports. */
export function visibleFiles(
  ordered: readonly FileDescriptorProto[],
): Map<string, ReadonlySet<string>> {
  const reexports = new Map<string, ReadonlySet<string>>();
  const visible = new Map<string, ReadonlySet<string>>();
  for (const file of ordered) {
    const reach = (names: readonly string[]) =>
      new Set([file.name, ...names, ...names.flatMap((name) => [...reexports.get(name) ?? []])]);
    const publicly = file.publicDependency.flatMap((index) => file.dependency[index] ?? []);
    reexports.set(file.name, reach(publicly));
    visible.set(file.name, reach(file.dependency));
  }
  return visible;
}
