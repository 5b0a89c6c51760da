// Made by `deno task gen` of arq/replay/page_thread.ts and all that it imports; not written by hand.
// It repeats recorded decisions in the browser. policy_trial.js starts it.
var __defProp = Object.defineProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};

var util_exports = {};
__export(util_exports, {
  BIGINT_FORMAT_RANGES: () => BIGINT_FORMAT_RANGES,
  CONSTANT_CATCH: () => CONSTANT_CATCH,
  Class: () => Class,
  NUMBER_FORMAT_RANGES: () => NUMBER_FORMAT_RANGES,
  aborted: () => aborted,
  allowsEval: () => allowsEval,
  assert: () => assert,
  assertEqual: () => assertEqual,
  assertIs: () => assertIs,
  assertNever: () => assertNever,
  assertNotEqual: () => assertNotEqual,
  assignProp: () => assignProp,
  attachSchema: () => attachSchema,
  base64ToUint8Array: () => base64ToUint8Array,
  base64urlToUint8Array: () => base64urlToUint8Array,
  cached: () => cached,
  captureStackTrace: () => captureStackTrace,
  cleanEnum: () => cleanEnum,
  cleanRegex: () => cleanRegex,
  clone: () => clone,
  cloneDef: () => cloneDef,
  codePointLength: () => codePointLength,
  constantCatch: () => constantCatch,
  createTransparentProxy: () => createTransparentProxy,
  defineLazy: () => defineLazy,
  defineLazyInternal: () => defineLazyInternal,
  derived: () => derived,
  esc: () => esc,
  escapeRegex: () => escapeRegex,
  explicitlyAborted: () => explicitlyAborted,
  extend: () => extend,
  finalizeIssue: () => finalizeIssue,
  floatSafeRemainder: () => floatSafeRemainder,
  getElementAtPath: () => getElementAtPath,
  getEnumValues: () => getEnumValues,
  getLengthableOrigin: () => getLengthableOrigin,
  getParsedType: () => getParsedType,
  getSizableOrigin: () => getSizableOrigin,
  hexToUint8Array: () => hexToUint8Array,
  hide: () => hide,
  installLazyProp: () => installLazyProp,
  isObject: () => isObject,
  isPlainObject: () => isPlainObject,
  issue: () => issue,
  joinValues: () => joinValues,
  jsonStringifyReplacer: () => jsonStringifyReplacer,
  members: () => members,
  merge: () => merge,
  mergeDefs: () => mergeDefs,
  normalizeParams: () => normalizeParams,
  nullish: () => nullish,
  numKeys: () => numKeys,
  objectClone: () => objectClone,
  omit: () => omit,
  optionalKeys: () => optionalKeys,
  own: () => own,
  parsedType: () => parsedType,
  partial: () => partial,
  pick: () => pick,
  prefixIssues: () => prefixIssues,
  primitiveTypes: () => primitiveTypes,
  promiseAllObject: () => promiseAllObject,
  propertyKeyTypes: () => propertyKeyTypes,
  randomString: () => randomString,
  rawShape: () => rawShape,
  required: () => required,
  safeExtend: () => safeExtend,
  shallowClone: () => shallowClone,
  sizeCaps: () => sizeCaps,
  slugify: () => slugify,
  stringifyPrimitive: () => stringifyPrimitive,
  toZod: () => toZod,
  uint8ArrayToBase64: () => uint8ArrayToBase64,
  uint8ArrayToBase64url: () => uint8ArrayToBase64url,
  uint8ArrayToHex: () => uint8ArrayToHex,
  unwrapMessage: () => unwrapMessage
});
function assertEqual(val) {
  return val;
}
function assertNotEqual(val) {
  return val;
}
function toZod() {
  return (schema) => schema;
}
function assertIs(_arg) {
}
function assertNever(_x) {
  throw new Error("Unexpected value in exhaustive check");
}
function assert(_) {
}
function getEnumValues(entries2) {
  const numericValues = Object.values(entries2).filter((v) => typeof v === "number");
  const values = Object.entries(entries2).filter(([k, _]) => numericValues.indexOf(+k) === -1).map(([_, v]) => v);
  return values;
}
function joinValues(array2, separator = "|") {
  return array2.map((val) => stringifyPrimitive(val)).join(separator);
}
function jsonStringifyReplacer(_, value) {
  if (typeof value === "bigint") return value.toString();
  return value;
}
var Cached = class {
  constructor(getter) {
    this._getter = getter;
    this._value = void 0;
  }
  get value() {
    const getter = this._getter;
    if (getter !== void 0) {
      this._value = getter();
      this._getter = void 0;
    }
    return this._value;
  }
};
function cached(getter) {
  return new Cached(getter);
}
function nullish(input) {
  return input === null || input === void 0;
}
function cleanRegex(source) {
  const start = source.startsWith("^") ? 1 : 0;
  const end = source.endsWith("$") ? source.length - 1 : source.length;
  return source.slice(start, end);
}
function floatSafeRemainder(val, step) {
  const ratio = val / step;
  const roundedRatio = Math.round(ratio);
  const tolerance = 4 * Number.EPSILON * Math.max(Math.abs(ratio), 1);
  if (Math.abs(ratio - roundedRatio) < tolerance) return 0;
  return ratio - roundedRatio;
}
var EVALUATING = /* @__PURE__ */ Symbol("evaluating");
function defineLazy(object, key, getter) {
  let value = void 0;
  Object.defineProperty(object, key, {
    get() {
      if (value === EVALUATING) {
        return void 0;
      }
      if (value === void 0) {
        value = EVALUATING;
        value = getter();
      }
      return value;
    },
    set(v) {
      Object.defineProperty(object, key, {
        value: v
      });
    },
    configurable: true
  });
}
function objectClone(obj) {
  return Object.create(Object.getPrototypeOf(obj), Object.getOwnPropertyDescriptors(obj));
}
function assignProp(target, prop, value) {
  Object.defineProperty(target, prop, {
    value,
    writable: true,
    enumerable: true,
    configurable: true
  });
}
function rawShape(def) {
  const desc = Object.getOwnPropertyDescriptor(def, "shape");
  return desc?.get ? desc.get.raw : desc?.value;
}
function sourceShape(schema) {
  return rawShape(schema._zod.def) ?? schema._zod.def.shape;
}
function deferProp(target, key, getter) {
  Object.defineProperty(target, key, {
    get() {
      const value = getter();
      assignProp(this, key, value);
      return value;
    },
    enumerable: true,
    configurable: true
  });
}
function putProp(target, key, value) {
  if (key in target) assignProp(target, key, value);
  else target[key] = value;
}
function mirrorShape(target, source, keys, wrap) {
  const raw = sourceShape(source);
  for (const key of keys) {
    const desc = Object.getOwnPropertyDescriptor(raw, key);
    if (!desc.enumerable) continue;
    if (desc.get) {
      deferProp(target, key, () => {
        const value = source._zod.def.shape[key];
        return wrap ? wrap(value, key) : value;
      });
    } else putProp(target, key, wrap ? wrap(desc.value, key) : desc.value);
  }
}
function mirrorProps(target, source) {
  for (const key of Reflect.ownKeys(source)) {
    const desc = Object.getOwnPropertyDescriptor(source, key);
    if (!desc.enumerable) continue;
    if (desc.get) deferProp(target, key, () => source[key]);
    else putProp(target, key, desc.value);
  }
}
function mergeDefs(...defs) {
  const mergedDescriptors = {};
  for (const def of defs) {
    const descriptors = Object.getOwnPropertyDescriptors(def);
    Object.assign(mergedDescriptors, descriptors);
  }
  return Object.defineProperties({}, mergedDescriptors);
}
function cloneDef(schema) {
  return mergeDefs(schema._zod.def);
}
function getElementAtPath(obj, path) {
  if (!path) return obj;
  return path.reduce((acc, key) => acc?.[key], obj);
}
function promiseAllObject(promisesObj) {
  const keys = Object.keys(promisesObj);
  const promises = keys.map((key) => promisesObj[key]);
  return Promise.all(promises).then((results) => {
    const resolvedObj = {};
    for (let i = 0; i < keys.length; i++) {
      resolvedObj[keys[i]] = results[i];
    }
    return resolvedObj;
  });
}
function randomString(length = 10) {
  const chars = "abcdefghijklmnopqrstuvwxyz";
  let str = "";
  for (let i = 0; i < length; i++) {
    str += chars[Math.floor(Math.random() * chars.length)];
  }
  return str;
}
function esc(str) {
  return JSON.stringify(str);
}
function slugify(input) {
  return input.toLowerCase().trim().replace(/[^\w\s-]/g, "").replace(/[\s_-]+/g, "-").replace(/^-+|-+$/g, "");
}
var captureStackTrace = "captureStackTrace" in Error ? Error.captureStackTrace : (..._args) => {
};
function isObject(data) {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}
var allowsEval = /* @__PURE__ */ cached(() => {
  if (globalConfig.jitless) {
    return false;
  }
  if (typeof navigator !== "undefined" && navigator?.userAgent?.includes("Cloudflare")) {
    return false;
  }
  try {
    const F = Function;
    new F("");
    return true;
  } catch (_) {
    return false;
  }
});
function isPlainObject(o) {
  if (isObject(o) === false) return false;
  const ctor = o.constructor;
  if (ctor === void 0) return true;
  if (typeof ctor !== "function") return true;
  const prot = ctor.prototype;
  if (isObject(prot) === false) return false;
  if (Object.prototype.hasOwnProperty.call(prot, "isPrototypeOf") === false) {
    return false;
  }
  return true;
}
function shallowClone(o) {
  if (isPlainObject(o)) return {
    ...o
  };
  if (Array.isArray(o)) return [
    ...o
  ];
  if (o instanceof Map) return new Map(o);
  if (o instanceof Set) return new Set(o);
  return o;
}
function numKeys(data) {
  let keyCount = 0;
  for (const key in data) {
    if (Object.prototype.hasOwnProperty.call(data, key)) {
      keyCount++;
    }
  }
  return keyCount;
}
var getParsedType = (data) => {
  const t = typeof data;
  switch (t) {
    case "undefined":
      return "undefined";
    case "string":
      return "string";
    case "number":
      return Number.isNaN(data) ? "nan" : "number";
    case "boolean":
      return "boolean";
    case "function":
      return "function";
    case "bigint":
      return "bigint";
    case "symbol":
      return "symbol";
    case "object":
      if (Array.isArray(data)) {
        return "array";
      }
      if (data === null) {
        return "null";
      }
      if (data.then && typeof data.then === "function" && data.catch && typeof data.catch === "function") {
        return "promise";
      }
      if (typeof Map !== "undefined" && data instanceof Map) {
        return "map";
      }
      if (typeof Set !== "undefined" && data instanceof Set) {
        return "set";
      }
      if (typeof Date !== "undefined" && data instanceof Date) {
        return "date";
      }
      if (typeof File !== "undefined" && data instanceof File) {
        return "file";
      }
      return "object";
    default:
      throw new Error(`Unknown data type: ${t}`);
  }
};
var propertyKeyTypes = /* @__PURE__ */ new Set([
  "string",
  "number",
  "symbol"
]);
var primitiveTypes = /* @__PURE__ */ new Set([
  "string",
  "number",
  "bigint",
  "boolean",
  "symbol",
  "undefined"
]);
function escapeRegex(str) {
  return str.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
function clone(inst, def, params) {
  const cl = new inst._zod.constr(def ?? inst._zod.def);
  if (!def || params?.parent) cl._zod.parent = inst;
  return cl;
}
function normalizeParams(_params) {
  const params = _params;
  if (!params) return {};
  if (typeof params === "string") return {
    error: () => params
  };
  if (params?.message !== void 0) {
    if (params?.error !== void 0) throw new Error("Cannot specify both `message` and `error` params");
    params.error = params.message;
  }
  delete params.message;
  if (typeof params.error === "string") return {
    ...params,
    error: () => params.error
  };
  return params;
}
function createTransparentProxy(getter) {
  let target;
  return new Proxy({}, {
    get(_, prop, receiver) {
      target ?? (target = getter());
      return Reflect.get(target, prop, receiver);
    },
    set(_, prop, value, receiver) {
      target ?? (target = getter());
      return Reflect.set(target, prop, value, receiver);
    },
    has(_, prop) {
      target ?? (target = getter());
      return Reflect.has(target, prop);
    },
    deleteProperty(_, prop) {
      target ?? (target = getter());
      return Reflect.deleteProperty(target, prop);
    },
    ownKeys(_) {
      target ?? (target = getter());
      return Reflect.ownKeys(target);
    },
    getOwnPropertyDescriptor(_, prop) {
      target ?? (target = getter());
      return Reflect.getOwnPropertyDescriptor(target, prop);
    },
    defineProperty(_, prop, descriptor) {
      target ?? (target = getter());
      return Reflect.defineProperty(target, prop, descriptor);
    }
  });
}
function stringifyPrimitive(value) {
  if (typeof value === "bigint") return value.toString() + "n";
  if (typeof value === "string") return `"${value}"`;
  return `${value}`;
}
function optionalKeys(shape) {
  return Object.keys(shape).filter((k) => {
    return shape[k]._zod.optin !== void 0 && shape[k]._zod.optout === "optional";
  });
}
var NUMBER_FORMAT_RANGES = /* @__PURE__ */ (() => ({
  safeint: [
    Number.MIN_SAFE_INTEGER,
    Number.MAX_SAFE_INTEGER
  ],
  int32: [
    -2147483648,
    2147483647
  ],
  uint32: [
    0,
    4294967295
  ],
  float32: [
    -34028234663852886e22,
    34028234663852886e22
  ],
  float64: [
    -Number.MAX_VALUE,
    Number.MAX_VALUE
  ]
}))();
var BIGINT_FORMAT_RANGES = {
  int64: [
    /* @__PURE__ */ BigInt("-9223372036854775808"),
    /* @__PURE__ */ BigInt("9223372036854775807")
  ],
  uint64: [
    /* @__PURE__ */ BigInt(0),
    /* @__PURE__ */ BigInt("18446744073709551615")
  ]
};
function pick(schema, mask) {
  const currDef = schema._zod.def;
  const checks = currDef.checks;
  const hasChecks = checks && checks.length > 0;
  if (hasChecks) {
    throw new Error(".pick() cannot be used on object schemas containing refinements");
  }
  const newShape = {};
  mirrorShape(newShape, schema, maskedKeys(schema, mask));
  return clone(schema, mergeDefs(currDef, {
    shape: newShape,
    checks: []
  }));
}
function maskedKeys(schema, mask) {
  const raw = sourceShape(schema);
  const keys = [];
  for (const key of Reflect.ownKeys(mask)) {
    if (!Object.getOwnPropertyDescriptor(raw, key)?.enumerable) {
      throw new Error(`Unrecognized key: "${String(key)}"`);
    }
    if (mask[key]) keys.push(key);
  }
  return keys;
}
function omit(schema, mask) {
  const currDef = schema._zod.def;
  const checks = currDef.checks;
  const hasChecks = checks && checks.length > 0;
  if (hasChecks) {
    throw new Error(".omit() cannot be used on object schemas containing refinements");
  }
  const omitted = new Set(maskedKeys(schema, mask));
  const newShape = {};
  mirrorShape(newShape, schema, Reflect.ownKeys(sourceShape(schema)).filter((key) => !omitted.has(key)));
  return clone(schema, mergeDefs(currDef, {
    shape: newShape,
    checks: []
  }));
}
function extend(schema, shape) {
  if (!isPlainObject(shape)) {
    throw new Error("Invalid input to extend: expected a plain object");
  }
  const checks = schema._zod.def.checks;
  const hasChecks = checks && checks.length > 0;
  if (hasChecks) {
    const existingShape = sourceShape(schema);
    for (const key of Reflect.ownKeys(shape)) {
      if (Object.getOwnPropertyDescriptor(existingShape, key) !== void 0) {
        throw new Error("Cannot overwrite keys on object schemas containing refinements. Use `.safeExtend()` instead.");
      }
    }
  }
  return clone(schema, mergeDefs(schema._zod.def, {
    shape: extended(schema, shape)
  }));
}
function extended(schema, shape) {
  const newShape = {};
  mirrorShape(newShape, schema, Reflect.ownKeys(sourceShape(schema)));
  mirrorProps(newShape, shape);
  return newShape;
}
function safeExtend(schema, shape) {
  if (!isPlainObject(shape)) {
    throw new Error("Invalid input to safeExtend: expected a plain object");
  }
  return clone(schema, mergeDefs(schema._zod.def, {
    shape: extended(schema, shape)
  }));
}
function merge(a, b) {
  if (!b?._zod?.def) {
    throw new Error("Invalid input to merge: expected an object schema. To merge a plain shape, use `.extend()`.");
  }
  if (a._zod.def.checks?.length) {
    throw new Error(".merge() cannot be used on object schemas containing refinements. Use .safeExtend() instead.");
  }
  const newShape = {};
  mirrorShape(newShape, a, Reflect.ownKeys(sourceShape(a)));
  mirrorShape(newShape, b, Reflect.ownKeys(sourceShape(b)));
  const def = mergeDefs(a._zod.def, {
    shape: newShape,
    get catchall() {
      return b._zod.def.catchall;
    },
    checks: b._zod.def.checks ?? []
  });
  return clone(a, def);
}
function partial(Class2, schema, mask, name = "partial") {
  const currDef = schema._zod.def;
  const checks = currDef.checks;
  const hasChecks = checks && checks.length > 0;
  if (hasChecks) {
    throw new Error(`.${name}() cannot be used on object schemas containing refinements`);
  }
  const selected = mask ? new Set(maskedKeys(schema, mask)) : void 0;
  const newShape = {};
  mirrorShape(newShape, schema, Reflect.ownKeys(sourceShape(schema)), Class2 && ((value, key) => selected && !selected.has(key) ? value : new Class2({
    type: "optional",
    innerType: value
  })));
  return clone(schema, mergeDefs(schema._zod.def, {
    shape: newShape,
    checks: []
  }));
}
function required(Class2, schema, mask) {
  const selected = mask ? new Set(maskedKeys(schema, mask)) : void 0;
  const newShape = {};
  mirrorShape(newShape, schema, Reflect.ownKeys(sourceShape(schema)), (value, key) => (
    // overwrite with non-optional
    selected && !selected.has(key) ? value : new Class2({
      type: "nonoptional",
      innerType: value
    })
  ));
  return clone(schema, mergeDefs(schema._zod.def, {
    shape: newShape
  }));
}
function aborted(x, startIndex = 0) {
  if (x.aborted === true) return true;
  for (let i = startIndex; i < x.issues.length; i++) {
    if (x.issues[i]?.continue !== true) {
      return true;
    }
  }
  return false;
}
function explicitlyAborted(x, startIndex = 0) {
  if (x.aborted === true) return true;
  for (let i = startIndex; i < x.issues.length; i++) {
    if (x.issues[i]?.continue === false) {
      return true;
    }
  }
  return false;
}
function prefixIssues(path, issues) {
  return issues.map((iss) => {
    var _a3;
    (_a3 = iss).path ?? (_a3.path = []);
    iss.path.unshift(path);
    return iss;
  });
}
function unwrapMessage(message) {
  return typeof message === "string" ? message : message?.message;
}
function sizeCaps(defChecks) {
  const caps = [];
  for (const ch of defChecks ?? []) {
    const d = ch._zod.def;
    if (!/_(length|size)$|_equals$/.test(d.check)) break;
    const max = d.maximum ?? d.length ?? d.size;
    if (max >= 0) caps.push([
      max,
      ch
    ]);
  }
  return caps;
}
function attachSchema(issues, start, inst) {
  var _a3;
  for (let i = start; i < issues.length; i++) {
    (_a3 = issues[i]).schema ?? (_a3.schema = inst);
  }
}
function finalizeIssue(iss, ctx, config2) {
  var _a3;
  const traits = iss.inst?._zod?.traits;
  if (traits?.has("$ZodType")) {
    if (traits.has("$ZodCheck")) (_a3 = iss).schema ?? (_a3.schema = iss.inst);
    else iss.schema = iss.inst;
  }
  const schemaError = iss.schema !== iss.inst ? iss.schema?._zod.def?.error : void 0;
  const message = iss.message ? iss.message : unwrapMessage(iss.inst?._zod.def?.error?.(iss)) ?? unwrapMessage(schemaError?.(iss)) ?? unwrapMessage(ctx?.error?.(iss)) ?? unwrapMessage(config2.customError?.(iss)) ?? unwrapMessage(config2.localeError?.(iss)) ?? "Invalid input";
  const full = {};
  for (const k of Object.keys(iss)) {
    if (k === "inst" || k === "schema" || k === "continue" || k === "input" || k === "__proto__") continue;
    full[k] = iss[k];
  }
  full.path ?? (full.path = []);
  full.message = message;
  if (ctx?.reportInput) {
    full.input = iss.input;
  }
  return full;
}
function getSizableOrigin(input) {
  if (input instanceof Set) return "set";
  if (input instanceof Map) return "map";
  if (input instanceof File) return "file";
  return "unknown";
}
var highSurrogate = /[\uD800-\uDBFF]/;
function codePointLength(str) {
  const units = str.length;
  if (!highSurrogate.test(str)) return units;
  let count = units;
  for (let i = 0; i < units - 1; i++) {
    if ((str.charCodeAt(i) & 64512) === 55296 && (str.charCodeAt(i + 1) & 64512) === 56320) {
      count--;
      i++;
    }
  }
  return count;
}
function getLengthableOrigin(input) {
  if (Array.isArray(input)) return "array";
  if (typeof input === "string") return "string";
  return "unknown";
}
function parsedType(data) {
  const t = typeof data;
  switch (t) {
    case "number": {
      return Number.isNaN(data) ? "nan" : "number";
    }
    case "object": {
      if (data === null) {
        return "null";
      }
      if (Array.isArray(data)) {
        return "array";
      }
      const obj = data;
      if (obj && Object.getPrototypeOf(obj) !== Object.prototype && "constructor" in obj && obj.constructor) {
        return obj.constructor.name;
      }
    }
  }
  return t;
}
function issue(...args) {
  const [iss, input, inst] = args;
  if (typeof iss === "string") {
    return {
      message: iss,
      code: "custom",
      input,
      inst
    };
  }
  return {
    ...iss
  };
}
function cleanEnum(obj) {
  return Object.entries(obj).filter(([k, _]) => {
    return Number.isNaN(Number.parseInt(k, 10));
  }).map((el) => el[1]);
}
function base64ToUint8Array(base643) {
  const binaryString = atob(base643);
  const bytes = new Uint8Array(binaryString.length);
  for (let i = 0; i < binaryString.length; i++) {
    bytes[i] = binaryString.charCodeAt(i);
  }
  return bytes;
}
function uint8ArrayToBase64(bytes) {
  let binaryString = "";
  for (let i = 0; i < bytes.length; i++) {
    binaryString += String.fromCharCode(bytes[i]);
  }
  return btoa(binaryString);
}
function base64urlToUint8Array(base64url2) {
  const base643 = base64url2.replace(/-/g, "+").replace(/_/g, "/");
  const padding = "=".repeat((4 - base643.length % 4) % 4);
  return base64ToUint8Array(base643 + padding);
}
function uint8ArrayToBase64url(bytes) {
  return uint8ArrayToBase64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}
function hexToUint8Array(hex) {
  const cleanHex = hex.replace(/^0x/, "");
  if (cleanHex.length % 2 !== 0) {
    throw new Error("Invalid hex string length");
  }
  const bytes = new Uint8Array(cleanHex.length / 2);
  for (let i = 0; i < cleanHex.length; i += 2) {
    bytes[i / 2] = Number.parseInt(cleanHex.slice(i, i + 2), 16);
  }
  return bytes;
}
function uint8ArrayToHex(bytes) {
  return Array.from(bytes).map((b) => b.toString(16).padStart(2, "0")).join("");
}
var Class = class {
  constructor(..._args) {
  }
};
function members(proto, table) {
  for (const key in table) {
    const desc = Object.getOwnPropertyDescriptor(table, key);
    if (desc.get) Object.defineProperty(proto, key, {
      ...desc,
      enumerable: false
    });
    else defineBound(proto, key, desc.value);
  }
}
function own(inst, key, value, enumerable = true) {
  Object.defineProperty(inst, key, {
    configurable: true,
    writable: true,
    enumerable,
    value
  });
  return value;
}
function hide(inst, key, value) {
  return own(inst, key, value, false);
}
// @__NO_SIDE_EFFECTS__
function derived(computes, table) {
  for (const key in computes) {
    const compute = computes[key];
    Object.defineProperty(table, key, {
      configurable: true,
      enumerable: true,
      get() {
        return own(this, key, compute(this));
      },
      set(value) {
        own(this, key, value);
      }
    });
  }
  return table;
}
function defineBound(proto, key, fn) {
  Object.defineProperty(proto, key, {
    configurable: true,
    get() {
      return this == null ? fn : own(this, key, fn.bind(this));
    },
    set(value) {
      own(this, key, value);
    }
  });
}
function claim(inst, sentinel) {
  const proto = Object.getPrototypeOf(inst);
  return sentinel in proto ? void 0 : proto;
}
var installing;
var broke = false;
var breaker = {
  configurable: true,
  get() {
    broke = true;
    return void 0;
  }
};
function defineLazyInternal(inst, key, compute) {
  const proto = Object.getPrototypeOf(inst._zod);
  if (key in proto && installing !== inst._zod) {
    installing = void 0;
    return;
  }
  installing = inst._zod;
  Object.defineProperty(proto, key, {
    configurable: true,
    get() {
      Object.defineProperty(this, key, breaker);
      const outer = broke;
      broke = false;
      try {
        const value = compute(this);
        if (broke) delete this[key];
        else Object.defineProperty(this, key, {
          configurable: true,
          writable: true,
          value
        });
        broke = broke || outer;
        return value;
      } catch (err) {
        delete this[key];
        broke = broke || outer;
        throw err;
      }
    },
    set(value) {
      Object.defineProperty(this, key, {
        configurable: true,
        writable: true,
        value
      });
    }
  });
}
function installLazyProp(inst, key, make, enumerable) {
  const proto = claim(inst, key);
  if (!proto) return;
  Object.defineProperty(proto, key, {
    configurable: true,
    get() {
      const desc = {
        configurable: true,
        writable: true,
        enumerable,
        value: void 0
      };
      Object.defineProperty(this, key, desc);
      desc.value = make(this);
      Object.defineProperty(this, key, desc);
      return desc.value;
    },
    set(value) {
      Object.defineProperty(this, key, {
        configurable: true,
        writable: true,
        enumerable,
        value
      });
    }
  });
}
var CONSTANT_CATCH = "~constantCatch";
function constantCatch(value) {
  const fn = () => value;
  fn[CONSTANT_CATCH] = true;
  return fn;
}

var _a;
var _zodDesc = {
  value: void 0,
  enumerable: false
};
var _E = "captureStackTrace" in Error ? Error : null;
function newError(Definition) {
  const E = _E;
  if (E) {
    const saved = E.stackTraceLimit;
    if (typeof saved === "number") {
      try {
        E.stackTraceLimit = 0;
      } catch {
        _E = null;
        return new Definition();
      }
      try {
        return new Definition();
      } finally {
        E.stackTraceLimit = saved;
      }
    }
  }
  return new Definition();
}
// @__NO_SIDE_EFFECTS__
function $constructor(name, initializer3, proto, params) {
  const zodProto = {};
  function Internals(def) {
    this.def = def;
    this.constr = _;
    this.traits = /* @__PURE__ */ new Set();
  }
  Internals.prototype = zodProto;
  const protoMembers = proto;
  const initialized = protoMembers && /* @__PURE__ */ new WeakSet();
  function init(inst, def) {
    if (!inst._zod) {
      _zodDesc.value = new Internals(def);
      try {
        Object.defineProperty(inst, "_zod", _zodDesc);
      } finally {
        _zodDesc.value = void 0;
      }
    } else if (inst._zod.traits.has(name)) {
      return;
    }
    inst._zod.traits.add(name);
    initializer3(inst, def);
    if (initialized) {
      const own2 = Object.getPrototypeOf(inst);
      const ctorProto = inst._zod.constr.prototype;
      let up = own2;
      while (up && up !== ctorProto) up = Object.getPrototypeOf(up);
      const target = up ?? own2;
      if (!initialized.has(target)) {
        initialized.add(target);
        members(target, protoMembers);
      }
    }
    const proto2 = _.prototype;
    for (const k in proto2) {
      if (!Object.prototype.hasOwnProperty.call(proto2, k)) continue;
      if (!(k in inst)) {
        inst[k] = proto2[k].bind(inst);
      }
    }
  }
  const Parent = params?.Parent ?? Object;
  class Definition extends Parent {
  }
  Object.defineProperty(Definition, "name", {
    value: name
  });
  function _(def) {
    const inst = params?.Parent ? newError(Definition) : this;
    init(inst, def);
    const deferred = inst._zod.deferred;
    if (deferred) {
      for (const fn of deferred) {
        fn();
      }
      inst._zod.deferred = void 0;
    }
    const pp = globalThis.__zod_globalConfig?.postProcessor;
    if (pp) pp(inst);
    return inst;
  }
  Object.defineProperty(_, "init", {
    value: init
  });
  Object.defineProperty(_, Symbol.hasInstance, {
    value: (inst) => {
      if (params?.Parent && inst instanceof params.Parent) return true;
      return inst?._zod?.traits?.has(name);
    }
  });
  Object.defineProperty(_, "name", {
    value: name
  });
  return _;
}
var $ZodAsyncError = class extends Error {
  constructor() {
    super(`Encountered Promise during synchronous parse. Use .parseAsync() instead.`);
  }
};
var $ZodEncodeError = class extends Error {
  constructor(name) {
    super(`Encountered unidirectional transform during encode: ${name}`);
    this.name = "ZodEncodeError";
  }
};
(_a = globalThis).__zod_globalConfig ?? (_a.__zod_globalConfig = {});
var globalConfig = globalThis.__zod_globalConfig;
function config(newConfig) {
  if (newConfig) Object.assign(globalConfig, newConfig);
  return globalConfig;
}

function _getMessage() {
  const internals = this._zod;
  internals.message ?? (internals.message = JSON.stringify(internals.def, jsonStringifyReplacer, 2));
  return internals.message;
}
function _setMessage(value) {
  this._zod.message = value;
}
var _messageDesc = {
  get: _getMessage,
  set: _setMessage,
  enumerable: true,
  configurable: true
};
var _issuesDesc = {
  value: void 0,
  enumerable: false
};
var _installedToString = /* @__PURE__ */ new WeakSet([
  Object.prototype,
  Error.prototype
]);
var initializer = (inst, def) => {
  inst.name = "$ZodError";
  _issuesDesc.value = def;
  Object.defineProperty(inst, "issues", _issuesDesc);
  _issuesDesc.value = void 0;
  Object.defineProperty(inst, "message", _messageDesc);
  const proto = Object.getPrototypeOf(inst);
  if (!_installedToString.has(proto)) {
    _installedToString.add(proto);
    Object.defineProperty(proto, "toString", {
      configurable: true,
      enumerable: false,
      get() {
        const value = () => this.message;
        Object.defineProperty(this, "toString", {
          value,
          configurable: true,
          writable: true
        });
        return value;
      },
      set(value) {
        Object.defineProperty(this, "toString", {
          value,
          configurable: true,
          writable: true
        });
      }
    });
  }
};
var $ZodError = $constructor("$ZodError", initializer);
var $ZodRealError = $constructor("$ZodError", initializer, void 0, {
  Parent: Error
});
function node(obj, key, make) {
  if (!Object.prototype.hasOwnProperty.call(obj, key)) {
    if (key === "__proto__") {
      Object.defineProperty(obj, key, {
        value: make(),
        writable: true,
        enumerable: true,
        configurable: true
      });
    } else {
      obj[key] = make();
    }
  }
  return obj[key];
}
function flattenError(error2, mapper = (issue2) => issue2.message) {
  const fieldErrors = {};
  const formErrors = [];
  for (const sub of error2.issues) {
    if (sub.path.length > 0) {
      node(fieldErrors, sub.path[0], () => []).push(mapper(sub));
    } else {
      formErrors.push(mapper(sub));
    }
  }
  return {
    formErrors,
    fieldErrors
  };
}
function formatError(error2, mapper = (issue2) => issue2.message) {
  const fieldErrors = {
    _errors: []
  };
  const processError = (error3, path = []) => {
    for (const issue2 of error3.issues) {
      if (issue2.code === "invalid_union" && issue2.errors.length) {
        issue2.errors.map((issues) => processError({
          issues
        }, [
          ...path,
          ...issue2.path
        ]));
      } else if (issue2.code === "invalid_key") {
        processError({
          issues: issue2.issues
        }, [
          ...path,
          ...issue2.path
        ]);
      } else if (issue2.code === "invalid_element") {
        processError({
          issues: issue2.issues
        }, [
          ...path,
          ...issue2.path
        ]);
      } else {
        const fullpath = [
          ...path,
          ...issue2.path
        ];
        if (fullpath.length === 0) {
          fieldErrors._errors.push(mapper(issue2));
        } else {
          let curr = fieldErrors;
          let i = 0;
          while (i < fullpath.length) {
            const el = fullpath[i];
            const terminal = i === fullpath.length - 1;
            if (el === "_errors") {
              if (terminal) curr._errors.push(mapper(issue2));
              i++;
              continue;
            }
            if (!Object.prototype.hasOwnProperty.call(curr, el)) {
              Object.defineProperty(curr, el, {
                value: {
                  _errors: []
                },
                enumerable: true,
                writable: true,
                configurable: true
              });
            }
            const node2 = curr[el];
            if (terminal) {
              node2._errors.push(mapper(issue2));
            }
            curr = node2;
            i++;
          }
        }
      }
    }
  };
  processError(error2);
  return fieldErrors;
}

function finalizeParams(callee, params) {
  return {
    callee: params?.callee ?? callee,
    Err: params?.Err
  };
}
var _parse = (_Err) => {
  const fn = (schema, value, _ctx, _params) => {
    const ctx = _ctx ? {
      ..._ctx,
      async: false
    } : {
      async: false
    };
    const result = schema._zod.run({
      value,
      issues: []
    }, ctx);
    if (result instanceof Promise) {
      throw new $ZodAsyncError();
    }
    if (result.issues.length) {
      const e = new (_params?.Err ?? _Err)(result.issues.map((iss) => finalizeIssue(iss, ctx, config())));
      captureStackTrace(e, _params?.callee ?? fn);
      throw e;
    }
    return result.value;
  };
  return fn;
};
var _parseAsync = (_Err) => {
  const fn = async (schema, value, _ctx, params) => {
    const ctx = _ctx ? {
      ..._ctx,
      async: true
    } : {
      async: true
    };
    let result = schema._zod.run({
      value,
      issues: []
    }, ctx);
    if (result instanceof Promise) result = await result;
    if (result.issues.length) {
      const e = new (params?.Err ?? _Err)(result.issues.map((iss) => finalizeIssue(iss, ctx, config())));
      captureStackTrace(e, params?.callee ?? fn);
      throw e;
    }
    return result.value;
  };
  return fn;
};
var _safeParse = (_Err) => (schema, value, _ctx) => {
  const ctx = _ctx ? {
    ..._ctx,
    async: false
  } : {
    async: false
  };
  const result = schema._zod.run({
    value,
    issues: []
  }, ctx);
  if (result instanceof Promise) {
    throw new $ZodAsyncError();
  }
  return result.issues.length ? failure(_Err, result.issues, ctx) : {
    success: true,
    data: result.value
  };
};
function failure(Err, issues, ctx) {
  let error2;
  return {
    success: false,
    get error() {
      if (!error2) {
        error2 = new Err(issues.map((iss) => finalizeIssue(iss, ctx, config())));
        issues = void 0;
        ctx = void 0;
      }
      return error2;
    },
    set error(e) {
      error2 = e;
      issues = void 0;
      ctx = void 0;
    }
  };
}
var _safeParseAsync = (_Err) => async (schema, value, _ctx) => {
  const ctx = _ctx ? {
    ..._ctx,
    async: true
  } : {
    async: true
  };
  let result = schema._zod.run({
    value,
    issues: []
  }, ctx);
  if (result instanceof Promise) result = await result;
  return result.issues.length ? failure(_Err, result.issues, ctx) : {
    success: true,
    data: result.value
  };
};
var COMPILE_INVALID = /* @__PURE__ */ Symbol.for("zod.compile.invalid");
var COMPILE_FALLBACK = /* @__PURE__ */ Symbol.for("zod.compile.fallback");
var validate = (schema, value, _ctx) => {
  const validator = schema._zod.bag.validator;
  if (validator !== void 0) {
    if (validator(value) !== COMPILE_INVALID) return true;
    if (validator.definite === true && _ctx === void 0) return false;
  }
  return validateFallback(schema, value, _ctx);
};
function validateFallback(schema, value, _ctx) {
  const ctx = _ctx ? {
    ..._ctx,
    async: false,
    abortEarly: true
  } : {
    async: false,
    abortEarly: true
  };
  const fallbackRun = schema._zod.bag.fallbackRun;
  let result;
  if (fallbackRun) {
    ctx[COMPILE_FALLBACK] = true;
    result = fallbackRun({
      value,
      issues: []
    }, ctx);
  } else {
    result = schema._zod.run({
      value,
      issues: []
    }, ctx);
  }
  if (result instanceof Promise) {
    throw new $ZodAsyncError();
  }
  return result.issues.length === 0;
}
var validateAsync = async (schema, value, _ctx) => {
  const ctx = _ctx ? {
    ..._ctx,
    async: true,
    abortEarly: true
  } : {
    async: true,
    abortEarly: true
  };
  let result = schema._zod.run({
    value,
    issues: []
  }, ctx);
  if (result instanceof Promise) result = await result;
  return result.issues.length === 0;
};
var _encode = (_Err) => {
  const parse2 = _parse(_Err);
  const fn = (schema, value, _ctx, _params) => {
    const ctx = _ctx ? {
      ..._ctx,
      direction: "backward"
    } : {
      direction: "backward"
    };
    return parse2(schema, value, ctx, finalizeParams(fn, _params));
  };
  return fn;
};
var _decode = (_Err) => {
  const parse2 = _parse(_Err);
  const fn = (schema, value, _ctx, _params) => {
    return parse2(schema, value, _ctx, finalizeParams(fn, _params));
  };
  return fn;
};
var _encodeAsync = (_Err) => {
  const parseAsync2 = _parseAsync(_Err);
  const fn = async (schema, value, _ctx, _params) => {
    const ctx = _ctx ? {
      ..._ctx,
      direction: "backward"
    } : {
      direction: "backward"
    };
    return await parseAsync2(schema, value, ctx, finalizeParams(fn, _params));
  };
  return fn;
};
var _decodeAsync = (_Err) => {
  const parseAsync2 = _parseAsync(_Err);
  const fn = async (schema, value, _ctx, _params) => {
    return await parseAsync2(schema, value, _ctx, finalizeParams(fn, _params));
  };
  return fn;
};
var _safeEncode = (_Err) => (schema, value, _ctx) => {
  const ctx = _ctx ? {
    ..._ctx,
    direction: "backward"
  } : {
    direction: "backward"
  };
  return _safeParse(_Err)(schema, value, ctx);
};
var _safeDecode = (_Err) => (schema, value, _ctx) => {
  return _safeParse(_Err)(schema, value, _ctx);
};
var _safeEncodeAsync = (_Err) => async (schema, value, _ctx) => {
  const ctx = _ctx ? {
    ..._ctx,
    direction: "backward"
  } : {
    direction: "backward"
  };
  return _safeParseAsync(_Err)(schema, value, ctx);
};
var _safeDecodeAsync = (_Err) => async (schema, value, _ctx) => {
  return _safeParseAsync(_Err)(schema, value, _ctx);
};

var cuid = /^[cC][0-9a-z]{6,}$/;
var cuid2 = /^[0-9a-z]+$/;
var ulid = /^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/;
var xid = /^[0-9a-vA-V]{20}$/;
var ksuid = /^[A-Za-z0-9]{27}$/;
var nanoid = /^[a-zA-Z0-9_-]{21}$/;
function nanoidOfLength(length) {
  return new RegExp(`^[a-zA-Z0-9_-]{${length}}$`);
}
var duration = /^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$/;
var guid = /^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})$/;
var uuid = (version2) => {
  if (!version2) return /^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$/;
  return new RegExp(`^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-${version2}[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12})$`);
};
var email = /^(?:[A-Za-z0-9_'+\-]+\.)*[A-Za-z0-9_'+\-]*[A-Za-z0-9_+-]@(?:[A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$/;
var _emoji = `^(?=[\\s\\S]*[\\p{Extended_Pictographic}\\p{Regional_Indicator}\\u20E3])[\\p{Extended_Pictographic}\\p{Emoji_Component}]+$`;
function emoji() {
  return new RegExp(_emoji, "u");
}
var ipv4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])$/;
var ipv6 = /^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:))$/;
var cidrv4 = /^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])\/([0-9]|[1-2][0-9]|3[0-2])$/;
var cidrv6 = /^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:))\/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$/;
var base64 = /^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$/;
var base64url = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$/;
var httpProtocol = /^https?$/;
var e164 = /^\+[1-9]\d{6,14}$/;
var dateSource = `(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(?:0[1-9]|1\\d|2[0-8])))`;
function anchor(source) {
  return new RegExp(`^${source}$`);
}
var date = /* @__PURE__ */ anchor(dateSource);
function timeSource(args) {
  const hhmm = `(?:[01]\\d|2[0-3]):[0-5]\\d`;
  const regex = typeof args.precision === "number" ? args.precision === -1 ? `${hhmm}` : args.precision === 0 ? `${hhmm}:[0-5]\\d` : `${hhmm}:[0-5]\\d\\.\\d{${args.precision}}` : args.seconds ? `${hhmm}:[0-5]\\d(?:\\.\\d+)?` : `${hhmm}(?::[0-5]\\d(?:\\.\\d+)?)?`;
  return regex;
}
function time(args) {
  return new RegExp(`^${timeSource(args)}$`);
}
function datetime(args) {
  const opts = [
    "Z"
  ];
  if (args.offset) opts.push(`([+-](?:[01]\\d|2[0-3]):[0-5]\\d)`);
  const qualified = `${timeSource({
    precision: args.precision,
    seconds: true
  })}(?:${opts.join("|")})`;
  const timeRegex = args.local ? `${qualified}|${timeSource({
    precision: args.precision
  })}` : qualified;
  return new RegExp(`^${dateSource}T(?:${timeRegex})$`);
}
var anyString = /^[\s\S]{0,}$/;
var number = /^-?\d+(?:\.\d+)?$/;
var boolean = /^(?:true|false)$/i;
var lowercase = /^[^A-Z]*$/;
var uppercase = /^[^a-z]*$/;

var $ZodCheck = /* @__PURE__ */ $constructor("$ZodCheck", (inst, def) => {
  var _a3;
  inst._zod ?? (inst._zod = {});
  inst._zod.def = def;
  (_a3 = inst._zod).onattach ?? (_a3.onattach = []);
});
var _whenHasLength = (payload) => {
  const val = payload.value;
  return !nullish(val) && val.length !== void 0;
};
var numericOriginMap = {
  number: "number",
  bigint: "bigint",
  object: "date"
};
var $ZodCheckLessThan = /* @__PURE__ */ $constructor("$ZodCheckLessThan", (inst, def) => {
  $ZodCheck.init(inst, def);
  const origin = numericOriginMap[typeof def.value];
  inst._zod.check = (payload) => {
    if (def.inclusive ? payload.value <= def.value : payload.value < def.value) {
      return;
    }
    payload.issues.push({
      origin: numericOriginMap[typeof payload.value] ?? origin,
      code: "too_big",
      maximum: typeof def.value === "object" ? def.value.getTime() : def.value,
      input: payload.value,
      inclusive: def.inclusive,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckGreaterThan = /* @__PURE__ */ $constructor("$ZodCheckGreaterThan", (inst, def) => {
  $ZodCheck.init(inst, def);
  const origin = numericOriginMap[typeof def.value];
  inst._zod.check = (payload) => {
    if (def.inclusive ? payload.value >= def.value : payload.value > def.value) {
      return;
    }
    payload.issues.push({
      origin: numericOriginMap[typeof payload.value] ?? origin,
      code: "too_small",
      minimum: typeof def.value === "object" ? def.value.getTime() : def.value,
      input: payload.value,
      inclusive: def.inclusive,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckMultipleOf = /* @__PURE__ */ $constructor("$ZodCheckMultipleOf", (inst, def) => {
  $ZodCheck.init(inst, def);
  inst._zod.check = (payload) => {
    if (typeof payload.value !== typeof def.value) throw new Error("Cannot mix number and bigint in multiple_of check.");
    const isMultiple = typeof payload.value === "bigint" ? def.value !== BigInt(0) && payload.value % def.value === BigInt(0) : floatSafeRemainder(payload.value, def.value) === 0;
    if (isMultiple) return;
    payload.issues.push({
      origin: typeof payload.value,
      code: "not_multiple_of",
      divisor: def.value,
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckNumberFormat = /* @__PURE__ */ $constructor("$ZodCheckNumberFormat", (inst, def) => {
  $ZodCheck.init(inst, def);
  def.format = def.format || "float64";
  const isInt = def.format?.includes("int");
  const origin = isInt ? "int" : "number";
  const [minimum, maximum] = NUMBER_FORMAT_RANGES[def.format];
  inst._zod.check = (payload) => {
    const input = payload.value;
    if (isInt) {
      if (!Number.isInteger(input)) {
        payload.issues.push({
          expected: origin,
          format: def.format,
          code: "invalid_type",
          continue: false,
          input,
          inst
        });
        return;
      }
      if (!Number.isSafeInteger(input)) {
        if (input > 0) {
          payload.issues.push({
            input,
            code: "too_big",
            maximum: Number.MAX_SAFE_INTEGER,
            note: "Integers must be within the safe integer range.",
            inst,
            origin,
            inclusive: true,
            continue: !def.abort
          });
        } else {
          payload.issues.push({
            input,
            code: "too_small",
            minimum: Number.MIN_SAFE_INTEGER,
            note: "Integers must be within the safe integer range.",
            inst,
            origin,
            inclusive: true,
            continue: !def.abort
          });
        }
        return;
      }
    }
    if (input < minimum) {
      payload.issues.push({
        origin: "number",
        input,
        code: "too_small",
        minimum,
        inclusive: true,
        inst,
        continue: !def.abort
      });
    }
    if (input > maximum) {
      payload.issues.push({
        origin: "number",
        input,
        code: "too_big",
        maximum,
        inclusive: true,
        inst,
        continue: !def.abort
      });
    }
  };
});
var $ZodCheckMaxLength = /* @__PURE__ */ $constructor("$ZodCheckMaxLength", (inst, def) => {
  var _a3;
  $ZodCheck.init(inst, def);
  (_a3 = inst._zod.def).when ?? (_a3.when = _whenHasLength);
  inst._zod.check = (payload) => {
    const input = payload.value;
    const units = input.length;
    const length = typeof input === "string" && units > def.maximum ? codePointLength(input) : units;
    if (length <= def.maximum) return;
    const origin = getLengthableOrigin(input);
    payload.issues.push({
      origin,
      code: "too_big",
      maximum: def.maximum,
      inclusive: true,
      input,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckMinLength = /* @__PURE__ */ $constructor("$ZodCheckMinLength", (inst, def) => {
  var _a3;
  $ZodCheck.init(inst, def);
  (_a3 = inst._zod.def).when ?? (_a3.when = _whenHasLength);
  inst._zod.check = (payload) => {
    const input = payload.value;
    const units = input.length;
    const length = typeof input === "string" && units >= def.minimum && units < def.minimum * 2 ? codePointLength(input) : units;
    if (length >= def.minimum) return;
    const origin = getLengthableOrigin(input);
    payload.issues.push({
      origin,
      code: "too_small",
      minimum: def.minimum,
      inclusive: true,
      input,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckLengthEquals = /* @__PURE__ */ $constructor("$ZodCheckLengthEquals", (inst, def) => {
  var _a3;
  $ZodCheck.init(inst, def);
  (_a3 = inst._zod.def).when ?? (_a3.when = _whenHasLength);
  inst._zod.check = (payload) => {
    const input = payload.value;
    const units = input.length;
    const length = typeof input === "string" && units >= def.length && units <= def.length * 2 ? codePointLength(input) : units;
    if (length === def.length) return;
    const origin = getLengthableOrigin(input);
    const tooBig = length > def.length;
    payload.issues.push({
      origin,
      ...tooBig ? {
        code: "too_big",
        maximum: def.length
      } : {
        code: "too_small",
        minimum: def.length
      },
      inclusive: true,
      exact: true,
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckStringFormat = /* @__PURE__ */ $constructor("$ZodCheckStringFormat", (inst, def) => {
  var _a3, _b;
  $ZodCheck.init(inst, def);
  if (def.pattern) (_a3 = inst._zod).check ?? (_a3.check = (payload) => {
    def.pattern.lastIndex = 0;
    if (def.pattern.test(payload.value)) return;
    payload.issues.push({
      origin: "string",
      code: "invalid_format",
      format: def.format,
      input: payload.value,
      ...def.pattern ? {
        pattern: def.pattern.toString()
      } : {},
      inst,
      continue: !def.abort
    });
  });
  else (_b = inst._zod).check ?? (_b.check = () => {
  });
});
var $ZodCheckRegex = /* @__PURE__ */ $constructor("$ZodCheckRegex", (inst, def) => {
  $ZodCheckStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    def.pattern.lastIndex = 0;
    if (def.pattern.test(payload.value)) return;
    payload.issues.push({
      origin: "string",
      code: "invalid_format",
      format: "regex",
      input: payload.value,
      pattern: def.pattern.toString(),
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckLowerCase = /* @__PURE__ */ $constructor("$ZodCheckLowerCase", (inst, def) => {
  def.pattern ?? (def.pattern = lowercase);
  $ZodCheckStringFormat.init(inst, def);
});
var $ZodCheckUpperCase = /* @__PURE__ */ $constructor("$ZodCheckUpperCase", (inst, def) => {
  def.pattern ?? (def.pattern = uppercase);
  $ZodCheckStringFormat.init(inst, def);
});
var $ZodCheckIncludes = /* @__PURE__ */ $constructor("$ZodCheckIncludes", (inst, def) => {
  $ZodCheck.init(inst, def);
  const escapedRegex = escapeRegex(def.includes);
  const pattern = new RegExp(typeof def.position === "number" ? `^.{${def.position},}${escapedRegex}` : escapedRegex);
  def.pattern = pattern;
  inst._zod.check = (payload) => {
    if (payload.value.includes(def.includes, def.position)) return;
    payload.issues.push({
      origin: "string",
      code: "invalid_format",
      format: "includes",
      includes: def.includes,
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckStartsWith = /* @__PURE__ */ $constructor("$ZodCheckStartsWith", (inst, def) => {
  $ZodCheck.init(inst, def);
  const pattern = new RegExp(`^${escapeRegex(def.prefix)}.*`);
  def.pattern ?? (def.pattern = pattern);
  inst._zod.check = (payload) => {
    if (payload.value.startsWith(def.prefix)) return;
    payload.issues.push({
      origin: "string",
      code: "invalid_format",
      format: "starts_with",
      prefix: def.prefix,
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckEndsWith = /* @__PURE__ */ $constructor("$ZodCheckEndsWith", (inst, def) => {
  $ZodCheck.init(inst, def);
  const pattern = new RegExp(`.*${escapeRegex(def.suffix)}$`);
  def.pattern ?? (def.pattern = pattern);
  inst._zod.check = (payload) => {
    if (payload.value.endsWith(def.suffix)) return;
    payload.issues.push({
      origin: "string",
      code: "invalid_format",
      format: "ends_with",
      suffix: def.suffix,
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodCheckOverwrite = /* @__PURE__ */ $constructor("$ZodCheckOverwrite", (inst, def) => {
  $ZodCheck.init(inst, def);
  inst._zod.check = (payload) => {
    payload.value = def.tx(payload.value);
  };
});

var Doc = class {
  constructor(args = [], closed = {}) {
    this.content = [];
    this.indent = 0;
    this.args = args;
    this.closed = closed;
  }
  // the compiler catches a child's throw and keeps writing into this doc, so the indent has to unwind with it
  indented(fn) {
    this.indent += 1;
    try {
      fn(this);
    } finally {
      this.indent -= 1;
    }
  }
  write(arg) {
    if (typeof arg === "function") {
      arg(this, {
        execution: "sync"
      });
      arg(this, {
        execution: "async"
      });
      return;
    }
    const content = arg;
    const lines = content.split("\n").filter((x) => x);
    const minIndent = Math.min(...lines.map((x) => x.length - x.trimStart().length));
    const dedented = lines.map((x) => x.slice(minIndent)).map((x) => " ".repeat(this.indent * 2) + x);
    for (const line of dedented) {
      this.content.push(line);
    }
  }
  compile() {
    const F = Function;
    const content = this?.content ?? [
      ``
    ];
    const factory = new F(...Object.keys(this.closed), `return function (${this.args.join(", ")}) {
${content.join("\n")}
};`);
    return factory(...Object.values(this.closed));
  }
};

var version = {
  major: 4,
  minor: 6,
  patch: 7
};

var $ZodType = /* @__PURE__ */ $constructor("$ZodType", (inst, def) => {
  var _a3;
  inst ?? (inst = {});
  inst._zod.def = def;
  inst._zod.bag = inst._zod.bag || {};
  inst._zod.version = version;
  const defChecks = inst._zod.def.checks;
  const checks = inst._zod.traits.has("$ZodCheck") ? [
    inst,
    ...defChecks ?? []
  ] : defChecks?.length ? [
    ...defChecks
  ] : [];
  for (const ch of checks) {
    for (const fn of ch._zod.onattach) {
      fn(inst);
    }
  }
  if (checks.length === 0) {
    (_a3 = inst._zod).deferred ?? (_a3.deferred = []);
    inst._zod.deferred?.push(() => {
      inst._zod.run = inst._zod.parse;
    });
  } else {
    const runChecks = (payload, checks2, ctx) => {
      if (payload.memo) return payload;
      let isAborted = aborted(payload);
      let asyncResult;
      for (const ch of checks2) {
        if (ch._zod.def.when) {
          if (explicitlyAborted(payload)) continue;
          const shouldRun = ch._zod.def.when(payload);
          if (!shouldRun) continue;
        } else if (isAborted) {
          continue;
        }
        const currLen = payload.issues.length;
        const _ = ch._zod.check(payload);
        if (_ instanceof Promise && ctx?.async === false) {
          throw new $ZodAsyncError();
        }
        if (asyncResult || _ instanceof Promise) {
          asyncResult = (asyncResult ?? Promise.resolve()).then(async () => {
            await _;
            const nextLen = payload.issues.length;
            if (nextLen === currLen) return;
            attachSchema(payload.issues, currLen, inst);
            if (!isAborted) isAborted = aborted(payload, currLen);
          });
        } else {
          const nextLen = payload.issues.length;
          if (nextLen === currLen) continue;
          attachSchema(payload.issues, currLen, inst);
          if (!isAborted) isAborted = aborted(payload, currLen);
        }
      }
      if (asyncResult) {
        return asyncResult.then(() => {
          return payload;
        });
      }
      return payload;
    };
    const handleCanaryResult = (canary, payload, ctx) => {
      if (aborted(canary)) {
        canary.aborted = true;
        return canary;
      }
      const checkResult = runChecks(payload, checks, ctx);
      if (checkResult instanceof Promise) {
        if (ctx.async === false) throw new $ZodAsyncError();
        return checkResult.then((checkResult2) => inst._zod.parse(checkResult2, ctx));
      }
      return inst._zod.parse(checkResult, ctx);
    };
    inst._zod.run = (payload, ctx) => {
      if (ctx.skipChecks) {
        return inst._zod.parse(payload, ctx);
      }
      if (ctx.direction === "backward") {
        const canary = inst._zod.parse({
          value: payload.value,
          issues: []
        }, {
          ...ctx,
          skipChecks: true
        });
        if (canary instanceof Promise) {
          return canary.then((canary2) => {
            return handleCanaryResult(canary2, payload, ctx);
          });
        }
        return handleCanaryResult(canary, payload, ctx);
      }
      const result = inst._zod.parse(payload, ctx);
      if (result instanceof Promise) {
        if (ctx.async === false) throw new $ZodAsyncError();
        return result.then((result2) => runChecks(result2, checks, ctx));
      }
      return runChecks(result, checks, ctx);
    };
  }
}, {
  // Wrappers extend this by installing a richer factory over it; reading it eagerly would defeat the laziness.
  get "~standard"() {
    return hide(this, "~standard", standardProps(this));
  },
  set "~standard"(value) {
    own(this, "~standard", value);
  }
});
var toStandardResult = (r, ctx) => r.issues.length ? {
  issues: r.issues.map((iss) => finalizeIssue(iss, ctx, config()))
} : {
  value: r.value
};
async function validateAsync2(inst, value) {
  const ctx = {
    async: true
  };
  return toStandardResult(await inst._zod.run({
    value,
    issues: []
  }, ctx), ctx);
}
function standardProps(inst) {
  return {
    validate: (value) => {
      const ctx = {
        async: false
      };
      try {
        const r = inst._zod.run({
          value,
          issues: []
        }, ctx);
        if (!(r instanceof Promise)) return toStandardResult(r, ctx);
      } catch (_) {
      }
      return validateAsync2(inst, value);
    },
    vendor: "zod",
    version: 1
  };
}
var $ZodString = /* @__PURE__ */ $constructor("$ZodString", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.pattern = def.pattern ?? anyString;
  inst._zod.parse = (payload, _) => {
    if (def.coerce) try {
      payload.value = String(payload.value);
    } catch (_2) {
    }
    if (typeof payload.value === "string") return payload;
    payload.issues.push({
      expected: "string",
      code: "invalid_type",
      input: payload.value,
      inst
    });
    return payload;
  };
});
var $ZodStringFormat = /* @__PURE__ */ $constructor("$ZodStringFormat", (inst, def) => {
  $ZodCheckStringFormat.init(inst, def);
  $ZodString.init(inst, def);
});
var $ZodGUID = /* @__PURE__ */ $constructor("$ZodGUID", (inst, def) => {
  def.pattern ?? (def.pattern = guid);
  $ZodStringFormat.init(inst, def);
});
var $ZodUUID = /* @__PURE__ */ $constructor("$ZodUUID", (inst, def) => {
  if (def.version) {
    const versionMap = {
      v1: 1,
      v2: 2,
      v3: 3,
      v4: 4,
      v5: 5,
      v6: 6,
      v7: 7,
      v8: 8
    };
    const v = versionMap[def.version];
    if (v === void 0) throw new Error(`Invalid UUID version: "${def.version}"`);
    def.pattern ?? (def.pattern = uuid(v));
  } else def.pattern ?? (def.pattern = uuid());
  $ZodStringFormat.init(inst, def);
});
var $ZodEmail = /* @__PURE__ */ $constructor("$ZodEmail", (inst, def) => {
  def.pattern ?? (def.pattern = email);
  $ZodStringFormat.init(inst, def);
});
var URL_BAD_FORMAT = 1;
var URL_UNPARSEABLE = 2;
function canParseURL(input) {
  try {
    if (typeof URL !== "undefined" && typeof URL.canParse === "function") return URL.canParse(input);
    new URL(input);
    return true;
  } catch {
    return false;
  }
}
function validateURL(trimmed, def) {
  if (!("normalize" in def) && !("hostname" in def) && !("protocol" in def)) {
    return canParseURL(trimmed) || URL_UNPARSEABLE;
  }
  return parseURLObject(trimmed, def);
}
function parseURLObject(trimmed, def) {
  if (!def.normalize && def.protocol?.source === httpProtocol.source && !/^https?:\/\//i.test(trimmed)) {
    return URL_BAD_FORMAT;
  }
  try {
    if (typeof URL !== "undefined") {
      const URLStatic = URL;
      if (typeof URLStatic.parse === "function") return URLStatic.parse(trimmed) ?? URL_UNPARSEABLE;
    }
    return new URL(trimmed);
  } catch {
    return URL_UNPARSEABLE;
  }
}
var asciiTabOrNewline = /[\t\n\r]/g;
function stripTabAndNewline(value) {
  return value.replace(asciiTabOrNewline, "");
}
function urlHostnameOk(url, hostname) {
  hostname.lastIndex = 0;
  return hostname.test(url.hostname);
}
function urlProtocolOk(url, protocol) {
  protocol.lastIndex = 0;
  return protocol.test(url.protocol.endsWith(":") ? url.protocol.slice(0, -1) : url.protocol);
}
var $ZodURL = /* @__PURE__ */ $constructor("$ZodURL", (inst, def) => {
  $ZodStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    try {
      const trimmed = payload.value.trim();
      const url = validateURL(trimmed, def);
      if (url === URL_BAD_FORMAT) {
        payload.issues.push({
          code: "invalid_format",
          format: "url",
          note: "Invalid URL format",
          input: payload.value,
          inst,
          continue: !def.abort
        });
        return;
      }
      if (url === URL_UNPARSEABLE) {
        payload.issues.push({
          code: "invalid_format",
          format: "url",
          input: payload.value,
          inst,
          continue: !def.abort
        });
        return;
      }
      if (url === true) {
        payload.value = stripTabAndNewline(trimmed);
        return;
      }
      if (def.hostname && !urlHostnameOk(url, def.hostname)) {
        payload.issues.push({
          code: "invalid_format",
          format: "url",
          note: "Invalid hostname",
          pattern: def.hostname.source,
          input: payload.value,
          inst,
          continue: !def.abort
        });
      }
      if (def.protocol && !urlProtocolOk(url, def.protocol)) {
        payload.issues.push({
          code: "invalid_format",
          format: "url",
          note: "Invalid protocol",
          pattern: def.protocol.source,
          input: payload.value,
          inst,
          continue: !def.abort
        });
      }
      payload.value = def.normalize ? url.href : stripTabAndNewline(trimmed);
      return;
    } catch (_) {
      payload.issues.push({
        code: "invalid_format",
        format: "url",
        input: payload.value,
        inst,
        continue: !def.abort
      });
    }
  };
});
var $ZodEmoji = /* @__PURE__ */ $constructor("$ZodEmoji", (inst, def) => {
  def.pattern ?? (def.pattern = emoji());
  $ZodStringFormat.init(inst, def);
});
var $ZodNanoID = /* @__PURE__ */ $constructor("$ZodNanoID", (inst, def) => {
  if (def.length !== void 0 && (!Number.isInteger(def.length) || def.length < 1)) throw new Error(`Invalid nanoid length: ${def.length}`);
  def.pattern ?? (def.pattern = def.length === void 0 ? nanoid : nanoidOfLength(def.length));
  $ZodStringFormat.init(inst, def);
});
var $ZodCUID = /* @__PURE__ */ $constructor("$ZodCUID", (inst, def) => {
  def.pattern ?? (def.pattern = cuid);
  $ZodStringFormat.init(inst, def);
});
var $ZodCUID2 = /* @__PURE__ */ $constructor("$ZodCUID2", (inst, def) => {
  def.pattern ?? (def.pattern = cuid2);
  $ZodStringFormat.init(inst, def);
});
var $ZodULID = /* @__PURE__ */ $constructor("$ZodULID", (inst, def) => {
  def.pattern ?? (def.pattern = ulid);
  $ZodStringFormat.init(inst, def);
});
var $ZodXID = /* @__PURE__ */ $constructor("$ZodXID", (inst, def) => {
  def.pattern ?? (def.pattern = xid);
  $ZodStringFormat.init(inst, def);
});
var $ZodKSUID = /* @__PURE__ */ $constructor("$ZodKSUID", (inst, def) => {
  def.pattern ?? (def.pattern = ksuid);
  $ZodStringFormat.init(inst, def);
});
var $ZodISODateTime = /* @__PURE__ */ $constructor("$ZodISODateTime", (inst, def) => {
  def.pattern ?? (def.pattern = datetime(def));
  $ZodStringFormat.init(inst, def);
});
var $ZodISODate = /* @__PURE__ */ $constructor("$ZodISODate", (inst, def) => {
  def.pattern ?? (def.pattern = date);
  $ZodStringFormat.init(inst, def);
});
var $ZodISOTime = /* @__PURE__ */ $constructor("$ZodISOTime", (inst, def) => {
  def.pattern ?? (def.pattern = time(def));
  $ZodStringFormat.init(inst, def);
});
var $ZodISODuration = /* @__PURE__ */ $constructor("$ZodISODuration", (inst, def) => {
  def.pattern ?? (def.pattern = duration);
  $ZodStringFormat.init(inst, def);
});
var $ZodIPv4 = /* @__PURE__ */ $constructor("$ZodIPv4", (inst, def) => {
  def.pattern ?? (def.pattern = ipv4);
  $ZodStringFormat.init(inst, def);
});
var ipv6Alphabet = /^[0-9a-fA-F:.]+$/;
function isValidIPv6(value) {
  if (!ipv6Alphabet.test(value)) return false;
  return canParseURL(`http://[${value}]`);
}
var $ZodIPv6 = /* @__PURE__ */ $constructor("$ZodIPv6", (inst, def) => {
  def.pattern ?? (def.pattern = ipv6);
  $ZodStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    if (!isValidIPv6(payload.value)) {
      payload.issues.push({
        code: "invalid_format",
        format: "ipv6",
        input: payload.value,
        inst,
        continue: !def.abort
      });
    }
  };
});
var $ZodCIDRv4 = /* @__PURE__ */ $constructor("$ZodCIDRv4", (inst, def) => {
  def.pattern ?? (def.pattern = cidrv4);
  $ZodStringFormat.init(inst, def);
});
function isValidCIDRv6(value) {
  const parts2 = value.split("/");
  if (parts2.length !== 2) return false;
  const [address, prefix] = parts2;
  if (!prefix) return false;
  const prefixNum = Number(prefix);
  if (`${prefixNum}` !== prefix) return false;
  if (prefixNum < 0 || prefixNum > 128) return false;
  return isValidIPv6(address);
}
var $ZodCIDRv6 = /* @__PURE__ */ $constructor("$ZodCIDRv6", (inst, def) => {
  def.pattern ?? (def.pattern = cidrv6);
  $ZodStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    if (!isValidCIDRv6(payload.value)) {
      payload.issues.push({
        code: "invalid_format",
        format: "cidrv6",
        input: payload.value,
        inst,
        continue: !def.abort
      });
    }
  };
});
function isValidBase64(data) {
  if (data === "") return true;
  if (/\s/.test(data)) return false;
  if (data.length % 4 !== 0) return false;
  try {
    atob(data);
    return true;
  } catch {
    return false;
  }
}
var base64Charset = /^[0-9a-zA-Z+/]*={0,2}$/;
var $ZodBase64 = /* @__PURE__ */ $constructor("$ZodBase64", (inst, def) => {
  def.pattern ?? (def.pattern = base64Charset);
  $ZodStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    if (isValidBase64(payload.value)) return;
    payload.issues.push({
      code: "invalid_format",
      format: "base64",
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var base64urlCharset = /^[A-Za-z0-9_-]*$/;
function isValidBase64URL(data) {
  if (!base64urlCharset.test(data)) return false;
  const base643 = data.replace(/[-_]/g, (c) => c === "-" ? "+" : "/");
  const padded = base643.padEnd(Math.ceil(base643.length / 4) * 4, "=");
  return isValidBase64(padded);
}
var $ZodBase64URL = /* @__PURE__ */ $constructor("$ZodBase64URL", (inst, def) => {
  def.pattern ?? (def.pattern = base64urlCharset);
  $ZodStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    if (isValidBase64URL(payload.value)) return;
    payload.issues.push({
      code: "invalid_format",
      format: "base64url",
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodE164 = /* @__PURE__ */ $constructor("$ZodE164", (inst, def) => {
  def.pattern ?? (def.pattern = e164);
  $ZodStringFormat.init(inst, def);
});
function isValidJWT(token, algorithm = null) {
  try {
    const tokensParts = token.split(".");
    if (tokensParts.length !== 3) return false;
    const [header] = tokensParts;
    if (!header) return false;
    const parsedHeader = JSON.parse(atob(header));
    if ("typ" in parsedHeader && parsedHeader?.typ !== "JWT") return false;
    if (!parsedHeader.alg) return false;
    if (algorithm && (!("alg" in parsedHeader) || parsedHeader.alg !== algorithm)) return false;
    return true;
  } catch {
    return false;
  }
}
var $ZodJWT = /* @__PURE__ */ $constructor("$ZodJWT", (inst, def) => {
  $ZodStringFormat.init(inst, def);
  inst._zod.check = (payload) => {
    if (isValidJWT(payload.value, def.alg)) return;
    payload.issues.push({
      code: "invalid_format",
      format: "jwt",
      input: payload.value,
      inst,
      continue: !def.abort
    });
  };
});
var $ZodNumber = /* @__PURE__ */ $constructor("$ZodNumber", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.pattern = number;
  inst._zod.parse = (payload, _ctx) => {
    if (def.coerce) try {
      payload.value = Number(payload.value);
    } catch (_) {
    }
    const input = payload.value;
    if (typeof input === "number" && !Number.isNaN(input) && Number.isFinite(input)) {
      return payload;
    }
    const received = typeof input === "number" ? Number.isNaN(input) ? "NaN" : !Number.isFinite(input) ? String(input) : void 0 : void 0;
    payload.issues.push({
      expected: "number",
      code: "invalid_type",
      input,
      inst,
      ...received ? {
        received
      } : {}
    });
    return payload;
  };
});
var $ZodNumberFormat = /* @__PURE__ */ $constructor("$ZodNumberFormat", (inst, def) => {
  $ZodCheckNumberFormat.init(inst, def);
  $ZodNumber.init(inst, def);
});
var $ZodBoolean = /* @__PURE__ */ $constructor("$ZodBoolean", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.pattern = boolean;
  inst._zod.parse = (payload, _ctx) => {
    if (def.coerce) try {
      payload.value = Boolean(payload.value);
    } catch (_) {
    }
    const input = payload.value;
    if (typeof input === "boolean") return payload;
    payload.issues.push({
      expected: "boolean",
      code: "invalid_type",
      input,
      inst
    });
    return payload;
  };
});
var $ZodUnknown = /* @__PURE__ */ $constructor("$ZodUnknown", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.parse = (payload) => payload;
});
var $ZodNever = /* @__PURE__ */ $constructor("$ZodNever", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.parse = (payload, _ctx) => {
    payload.issues.push({
      expected: "never",
      code: "invalid_type",
      input: payload.value,
      inst
    });
    return payload;
  };
});
function capSize(inst, size) {
  const caps = sizeCaps(inst._zod.def.checks);
  if (!caps.length) return;
  const cap = Math.min(...caps.map((c) => c[0]));
  const parse2 = inst._zod.parse;
  inst._zod.parse = (payload, ctx) => {
    const n = size(payload.value);
    if (n > cap && !ctx?.skipChecks && ctx?.direction !== "backward") {
      for (const [max, ch] of sizeCaps(inst._zod.def.checks)) {
        if (n > max && ch._zod.def.when(payload)) {
          const start = payload.issues.length;
          ch._zod.check(payload);
          payload.issues[start].continue = false;
          attachSchema(payload.issues, start, inst);
          return payload;
        }
      }
    }
    return parse2(payload, ctx);
  };
}
var arraySize = (input) => Array.isArray(input) ? input.length : -1;
function handleArrayResult(result, final, index) {
  if (result.issues.length) {
    final.issues.push(...prefixIssues(index, result.issues));
  }
  final.value[index] = result.value;
}
var $ZodArray = /* @__PURE__ */ $constructor("$ZodArray", (inst, def) => {
  $ZodType.init(inst, def);
  const memo2 = globalConfig.memoizer;
  memo2?.attach(inst);
  inst._zod.parse = (payload, ctx) => {
    const input = payload.value;
    if (!Array.isArray(input)) {
      payload.issues.push({
        expected: "array",
        code: "invalid_type",
        input,
        inst
      });
      return payload;
    }
    payload.value = memo2 ? memo2.alloc(inst, payload, Array(input.length), ctx) : Array(input.length);
    const proms = [];
    const abortEarly = ctx?.abortEarly;
    for (let i = 0; i < input.length; i++) {
      const item = input[i];
      const result = def.element._zod.run({
        value: item,
        issues: []
      }, ctx);
      if (result instanceof Promise) {
        proms.push(result.then((result2) => handleArrayResult(result2, payload, i)));
      } else {
        handleArrayResult(result, payload, i);
        if (abortEarly && result.issues.length !== 0 && aborted(result)) break;
      }
    }
    if (proms.length) {
      return Promise.all(proms).then(() => payload);
    }
    return payload;
  };
  capSize(inst, arraySize);
});
function handlePropertyResult(result, final, key, input, optin, optout) {
  const isPresent = key in input;
  const isOptionalOut = optout === "optional";
  if (!isPresent && isOptionalOut && optin === "optional") {
    return;
  }
  if (result.issues.length) {
    if (optin !== void 0 && isOptionalOut && !isPresent) {
      return;
    }
    final.issues.push(...prefixIssues(key, result.issues));
  }
  if (!isPresent && optin === void 0) {
    if (!result.issues.length) {
      final.issues.push({
        code: "invalid_type",
        expected: "nonoptional",
        input: void 0,
        path: [
          key
        ]
      });
    }
    return;
  }
  if (result.value === void 0) {
    if (isPresent || optin === "defaulted" && !isOptionalOut) {
      final.value[key] = void 0;
    }
  } else {
    final.value[key] = result.value;
  }
}
var NO_SYMBOL_KEYS = [];
function normalizeDef(def) {
  const keys = Object.keys(def.shape);
  const ownSymbols = Object.getOwnPropertySymbols(def.shape);
  const symbolKeys = ownSymbols.length ? ownSymbols : NO_SYMBOL_KEYS;
  const allKeys = symbolKeys.length ? [
    ...keys,
    ...symbolKeys
  ] : keys;
  for (const k of allKeys) {
    if (!def.shape?.[k]?._zod?.traits?.has("$ZodType")) {
      throw new Error(`Invalid element at key "${String(k)}": expected a Zod schema`);
    }
  }
  const okeys = optionalKeys(def.shape);
  return {
    ...def,
    allKeys,
    symbolKeys,
    // string-only: handleCatchall matches it against `for...in`, which never yields a symbol
    keySet: new Set(keys),
    numKeys: keys.length,
    optionalKeys: new Set(okeys)
  };
}
function handleCatchall(proms, input, payload, ctx, def, inst, abortEarly) {
  const unrecognized = [];
  const keySet = def.keySet;
  const _catchall = def.catchall._zod;
  const t = _catchall.def.type;
  const optin = _catchall.optin;
  const optout = _catchall.optout;
  let seen = 0;
  for (const key in input) {
    if (abortEarly && payload.issues.length !== seen) {
      if (aborted(payload, seen)) break;
      seen = payload.issues.length;
    }
    if (keySet.has(key)) continue;
    if (key === "__proto__") {
      if (t === "never") unrecognized.push(key);
      continue;
    }
    if (t === "never") {
      unrecognized.push(key);
      continue;
    }
    const r = _catchall.run({
      value: input[key],
      issues: []
    }, ctx);
    if (r instanceof Promise) {
      proms.push(r.then((r2) => handlePropertyResult(r2, payload, key, input, optin, optout)));
    } else {
      handlePropertyResult(r, payload, key, input, optin, optout);
    }
  }
  if (unrecognized.length) {
    payload.issues.push({
      code: "unrecognized_keys",
      keys: unrecognized,
      input,
      inst,
      // Describes the shape of the input, not the validity of the parsed value, so it never aborts. The parse still fails; the schema's own checks just get to run first, and an enclosing intersection can reconcile the key against a sibling operand.
      continue: true
    });
  }
  if (!proms.length) return payload;
  return Promise.all(proms).then(() => {
    return payload;
  });
}
var $ZodObject = /* @__PURE__ */ $constructor("$ZodObject", (inst, def) => {
  $ZodType.init(inst, def);
  const desc = Object.getOwnPropertyDescriptor(def, "shape");
  const sh = desc?.get ? desc.get.raw : def.shape ?? {};
  if (sh) {
    const get = () => {
      const newSh = {
        ...sh
      };
      Object.defineProperty(def, "shape", {
        value: newSh
      });
      get.raw = newSh;
      return newSh;
    };
    get.raw = sh;
    Object.defineProperty(def, "shape", {
      get
    });
  }
  const _normalized = cached(() => normalizeDef(def));
  defineLazyInternal(inst, "propValues", (zod) => {
    const shape = zod.def.shape;
    const propValues = {};
    for (const key in shape) {
      const field = shape[key]._zod;
      if (field.values) {
        if (!Object.prototype.hasOwnProperty.call(propValues, key)) {
          assignProp(propValues, key, /* @__PURE__ */ new Set());
        }
        for (const v of field.values) propValues[key].add(v);
        if (field.optin !== void 0) propValues[key].add(void 0);
      }
    }
    return propValues;
  });
  const isObject2 = isObject;
  const catchall = def.catchall;
  let value;
  const memo2 = globalConfig.memoizer;
  memo2?.attach(inst);
  inst._zod.parse = (payload, ctx) => {
    value ?? (value = _normalized.value);
    const input = payload.value;
    if (!isObject2(input)) {
      payload.issues.push({
        expected: "object",
        code: "invalid_type",
        input,
        inst
      });
      return payload;
    }
    payload.value = memo2 ? memo2.alloc(inst, payload, {}, ctx) : {};
    const proms = [];
    const shape = value.shape;
    const abortEarly = ctx?.abortEarly;
    let seen = payload.issues.length;
    for (const key of value.allKeys) {
      if (abortEarly && payload.issues.length !== seen) {
        if (aborted(payload, seen)) break;
        seen = payload.issues.length;
      }
      if (key === "__proto__") continue;
      const el = shape[key];
      const optin = el._zod.optin;
      const optout = el._zod.optout;
      const r = el._zod.run({
        value: input[key],
        issues: []
      }, ctx);
      if (r instanceof Promise) {
        proms.push(r.then((r2) => handlePropertyResult(r2, payload, key, input, optin, optout)));
      } else {
        handlePropertyResult(r, payload, key, input, optin, optout);
      }
    }
    if (!catchall) {
      return proms.length ? Promise.all(proms).then(() => payload) : payload;
    }
    return handleCatchall(proms, input, payload, ctx, _normalized.value, inst, abortEarly === true);
  };
});
var $ZodObjectJIT = /* @__PURE__ */ $constructor("$ZodObjectJIT", (inst, def) => {
  $ZodObject.init(inst, def);
  const superParse = inst._zod.parse;
  const _normalized = cached(() => normalizeDef(def));
  const memo2 = globalConfig.memoizer;
  const generateFastpass = (shape) => {
    const normalized = _normalized.value;
    const syms = normalized.symbolKeys;
    const doc = new Doc([
      "payload",
      "ctx"
    ], {
      shape,
      inst,
      memo: memo2,
      syms
    });
    const parseStr = (k) => `shape[${k}]._zod.run({ value: input[${k}], issues: [] }, ctx)`;
    const prefixStr = (id, k) => `
          let ${id}_ab = false;
          for (let i = 0; i < ${id}.issues.length; i++) {
            const iss = ${id}.issues[i];
            iss.path = iss.path ? [${k}, ...iss.path] : [${k}];
            payload.issues.push(iss);
            if (iss.continue !== true) ${id}_ab = true;
          }
          if (${id}_ab && ctx && ctx.abortEarly) {
            payload.value = newResult;
            return payload;
          }`;
    doc.write(`const input = payload.value;`);
    const ids = /* @__PURE__ */ Object.create(null);
    let counter = 0;
    for (const key of normalized.allKeys) {
      ids[key] = `key_${counter++}`;
    }
    doc.write(memo2 ? `const newResult = memo.alloc(inst, payload, {}, ctx);` : `const newResult = {};`);
    for (const key of normalized.allKeys) {
      if (key === "__proto__") continue;
      const id = ids[key];
      const k = typeof key === "symbol" ? `syms[${syms.indexOf(key)}]` : esc(key);
      const isPresent = `${k} in input`;
      const schema = shape[key];
      const optin = schema?._zod?.optin;
      const isOptionalIn = optin !== void 0;
      const isOptionalOut = schema?._zod?.optout === "optional";
      doc.write(`const ${id} = ${parseStr(k)};`);
      if (isOptionalIn && isOptionalOut) {
        const assign = optin === "optional" ? `${id}_present` : `${id}.value !== undefined || ${id}_present`;
        doc.write(`
        const ${id}_present = ${isPresent};
        if (!${id}.issues.length || ${id}_present) {
          if (${id}.issues.length) {${prefixStr(id, k)}
          }

          if (${assign}) {
            newResult[${k}] = ${id}.value;
          }
        }

      `);
      } else if (!isOptionalIn) {
        doc.write(`
        const ${id}_present = ${isPresent};
        if (${id}.issues.length) {${prefixStr(id, k)}
        }
        if (!${id}_present && !${id}.issues.length) {
          payload.issues.push({
            code: "invalid_type",
            expected: "nonoptional",
            input: undefined,
            path: [${k}]
          });
          if (ctx && ctx.abortEarly) {
            payload.value = newResult;
            return payload;
          }
        }

        if (${id}_present) {
          newResult[${k}] = ${id}.value;
        }

      `);
      } else {
        doc.write(`
        if (${id}.issues.length) {${prefixStr(id, k)}
        }
      `);
        if (optin === "defaulted") {
          doc.write(`newResult[${k}] = ${id}.value;`);
        } else {
          doc.write(`
        if (${id}.value !== undefined || ${isPresent}) {
          newResult[${k}] = ${id}.value;
        }
      `);
        }
      }
    }
    doc.write(`payload.value = newResult;`);
    doc.write(`return payload;`);
    return doc.compile();
  };
  let fastpass;
  const isObject2 = isObject;
  const jit = !globalConfig.jitless;
  const allowsEval2 = allowsEval;
  const fastEnabled = jit && allowsEval2.value;
  const catchall = def.catchall;
  let value;
  inst._zod.parse = (payload, ctx) => {
    value ?? (value = _normalized.value);
    const input = payload.value;
    if (!isObject2(input)) {
      payload.issues.push({
        expected: "object",
        code: "invalid_type",
        input,
        inst
      });
      return payload;
    }
    if (jit && fastEnabled && ctx?.async === false && ctx.jitless !== true) {
      if (!fastpass) fastpass = generateFastpass(def.shape);
      payload = fastpass(payload, ctx);
      if (!catchall) return payload;
      return handleCatchall([], input, payload, ctx, value, inst, ctx?.abortEarly === true);
    }
    return superParse(payload, ctx);
  };
});
function handleUnionResults(results, final, inst, ctx) {
  for (const result of results) {
    if (result.issues.length === 0) {
      final.value = result.value;
      return final;
    }
  }
  const nonaborted = results.filter((r) => !aborted(r));
  if (nonaborted.length === 1) {
    final.value = nonaborted[0].value;
    return nonaborted[0];
  }
  final.issues.push({
    code: "invalid_union",
    input: final.value,
    inst,
    errors: results.map((result) => result.issues.map((iss) => finalizeIssue(iss, ctx, config())))
  });
  return final;
}
var $ZodUnion = /* @__PURE__ */ $constructor("$ZodUnion", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "optin", (zod) => zod.def.options.some((o) => o._zod.optin === "defaulted") ? "defaulted" : zod.def.options.some((o) => o._zod.optin !== void 0) ? "optional" : void 0);
  defineLazyInternal(inst, "optout", (zod) => zod.def.options.some((o) => o._zod.optout === "optional") ? "optional" : void 0);
  defineLazyInternal(inst, "values", (zod) => {
    if (zod.def.options.every((o) => o._zod.values)) {
      return new Set(zod.def.options.flatMap((option) => Array.from(option._zod.values)));
    }
    return void 0;
  });
  defineLazyInternal(inst, "pattern", (zod) => {
    if (zod.def.options.every((o) => o._zod.pattern)) {
      const patterns = zod.def.options.map((o) => o._zod.pattern);
      return new RegExp(`^(${patterns.map((p) => cleanRegex(p.source)).join("|")})$`);
    }
    return void 0;
  });
  const first = def.options.length === 1 ? def.options[0]._zod.run : null;
  inst._zod.parse = (payload, ctx) => {
    if (first) {
      return first(payload, ctx);
    }
    let async = false;
    const results = [];
    for (const option of def.options) {
      const result = option._zod.run({
        value: payload.value,
        issues: []
      }, ctx);
      if (result instanceof Promise) {
        results.push(result);
        async = true;
      } else {
        if (result.issues.length === 0) return result;
        results.push(result);
      }
    }
    if (!async) return handleUnionResults(results, payload, inst, ctx);
    return Promise.all(results).then((results2) => {
      return handleUnionResults(results2, payload, inst, ctx);
    });
  };
});
function discriminatorMap(def) {
  const map = /* @__PURE__ */ new Map();
  for (const option of def.options) {
    const values = option._zod.propValues?.[def.discriminator];
    if (!values || values.size === 0) throw new Error(`Invalid discriminated union option at index "${def.options.indexOf(option)}"`);
    for (const value of values) {
      if (map.has(value)) {
        if (value !== void 0) throw new Error(`Duplicate discriminator value "${String(value)}"`);
        map.set(value, null);
      } else {
        map.set(value, option);
      }
    }
  }
  return map;
}
var $ZodDiscriminatedUnion = /* @__PURE__ */ $constructor("$ZodDiscriminatedUnion", (inst, def) => {
  def.inclusive = false;
  $ZodUnion.init(inst, def);
  const _super = inst._zod.parse;
  defineLazyInternal(inst, "propValues", (zod) => {
    const propValues = {};
    let undefinedCount = 0;
    for (const option of zod.def.options) {
      const pv = option._zod.propValues;
      if (!pv || Object.keys(pv).length === 0) throw new Error(`Invalid discriminated union option at index "${zod.def.options.indexOf(option)}"`);
      if (pv[zod.def.discriminator]?.has(void 0)) undefinedCount++;
      for (const [k, v] of Object.entries(pv)) {
        if (!Object.prototype.hasOwnProperty.call(propValues, k)) {
          assignProp(propValues, k, /* @__PURE__ */ new Set());
        }
        for (const val of v) {
          propValues[k].add(val);
        }
      }
    }
    if (!zod.def.unionFallback && undefinedCount > 1) propValues[zod.def.discriminator]?.delete(void 0);
    return propValues;
  });
  def.options.forEach((option, i) => {
    const propShape = rawShape(option._zod.def);
    if (propShape && !Object.prototype.hasOwnProperty.call(propShape, def.discriminator)) {
      throw new Error(`Invalid discriminated union option at index "${i}"`);
    }
  });
  const disc = cached(() => discriminatorMap(def));
  inst._zod.parse = (payload, ctx) => {
    const input = payload.value;
    if (!isObject(input)) {
      payload.issues.push({
        code: "invalid_type",
        expected: "object",
        input,
        inst
      });
      return payload;
    }
    const value = input?.[def.discriminator];
    const opt = disc.value.get(value);
    if (opt && (value !== void 0 || ctx.direction !== "backward")) {
      return opt._zod.run(payload, ctx);
    }
    if (def.unionFallback || ctx.direction === "backward") {
      return _super(payload, ctx);
    }
    payload.issues.push({
      code: "invalid_union",
      errors: [],
      note: "No matching discriminator",
      discriminator: def.discriminator,
      options: Array.from(disc.value.keys()).filter((value2) => disc.value.get(value2) !== null),
      input,
      path: [
        def.discriminator
      ],
      inst
    });
    return payload;
  };
});
var $ZodIntersection = /* @__PURE__ */ $constructor("$ZodIntersection", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.parse = (payload, ctx) => {
    const input = payload.value;
    const left = def.left._zod.run({
      value: input,
      issues: []
    }, ctx);
    const right = def.right._zod.run({
      value: input,
      issues: []
    }, ctx);
    const async = left instanceof Promise || right instanceof Promise;
    if (async) {
      return Promise.all([
        left,
        right
      ]).then(([left2, right2]) => {
        return handleIntersectionResults(payload, left2, right2);
      });
    }
    return handleIntersectionResults(payload, left, right);
  };
});
function mergeValues(a, b) {
  if (a === b) {
    return {
      valid: true,
      data: a
    };
  }
  if (a instanceof Date && b instanceof Date && +a === +b) {
    return {
      valid: true,
      data: a
    };
  }
  if (isPlainObject(a) && isPlainObject(b)) {
    const bKeys = Object.keys(b);
    const sharedKeys = Object.keys(a).filter((key) => bKeys.indexOf(key) !== -1);
    const newObj = {
      ...a,
      ...b
    };
    if (Object.prototype.hasOwnProperty.call(newObj, "__proto__")) delete newObj.__proto__;
    for (const key of sharedKeys) {
      if (key === "__proto__") continue;
      const sharedValue = mergeValues(a[key], b[key]);
      if (!sharedValue.valid) {
        return {
          valid: false,
          mergeErrorPath: [
            key,
            ...sharedValue.mergeErrorPath
          ]
        };
      }
      newObj[key] = sharedValue.data;
    }
    return {
      valid: true,
      data: newObj
    };
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length !== b.length) {
      return {
        valid: false,
        mergeErrorPath: []
      };
    }
    const newArray = [];
    for (let index = 0; index < a.length; index++) {
      const itemA = a[index];
      const itemB = b[index];
      const sharedValue = mergeValues(itemA, itemB);
      if (!sharedValue.valid) {
        return {
          valid: false,
          mergeErrorPath: [
            index,
            ...sharedValue.mergeErrorPath
          ]
        };
      }
      newArray.push(sharedValue.data);
    }
    return {
      valid: true,
      data: newArray
    };
  }
  return {
    valid: false,
    mergeErrorPath: []
  };
}
function handleIntersectionResults(result, left, right) {
  const unrecKeys = /* @__PURE__ */ new Map();
  let unrecIssue;
  const keyIssues = /* @__PURE__ */ new Map();
  const collect = (iss, side) => {
    let keys;
    if (iss.code === "unrecognized_keys" && !iss.path?.length) {
      unrecIssue ?? (unrecIssue = iss);
      keys = iss.keys;
    } else if (iss.code === "invalid_key" && iss.origin === "record" && iss.path?.length === 1) {
      const k = String(iss.path[0]);
      if (!keyIssues.has(k)) keyIssues.set(k, iss);
      keys = [
        k
      ];
    } else {
      return false;
    }
    for (const k of keys) {
      if (!unrecKeys.has(k)) unrecKeys.set(k, {});
      unrecKeys.get(k)[side] = true;
    }
    return true;
  };
  for (const iss of left.issues) {
    if (!collect(iss, "l")) result.issues.push(iss);
  }
  for (const iss of right.issues) {
    if (!collect(iss, "r")) result.issues.push(iss);
  }
  const bothKeys = [
    ...unrecKeys
  ].filter(([, f]) => f.l && f.r).map(([k]) => k);
  if (bothKeys.length) {
    const aggregated = unrecIssue ? bothKeys.filter((k) => unrecIssue.keys.includes(k)) : [];
    if (aggregated.length) result.issues.push({
      ...unrecIssue,
      keys: aggregated
    });
    for (const k of bothKeys) {
      if (!aggregated.includes(k) && keyIssues.has(k)) result.issues.push(keyIssues.get(k));
    }
  }
  const merged = mergeValues(left.value, right.value);
  if (!merged.valid) {
    if (aborted(result)) return result;
    throw new Error(`Unmergable intersection. Error path: ${JSON.stringify(merged.mergeErrorPath)}`);
  }
  result.value = merged.data;
  return result;
}
var $ZodTuple = /* @__PURE__ */ $constructor("$ZodTuple", (inst, def) => {
  $ZodType.init(inst, def);
  const items = def.items;
  const memo2 = globalConfig.memoizer;
  memo2?.attach(inst);
  inst._zod.parse = (payload, ctx) => {
    const input = payload.value;
    if (!Array.isArray(input)) {
      payload.issues.push({
        input,
        inst,
        expected: "tuple",
        code: "invalid_type"
      });
      return payload;
    }
    payload.value = memo2 ? memo2.alloc(inst, payload, [], ctx) : [];
    const proms = [];
    const optinStart = getTupleOptStart(items, "optin");
    const optoutStart = getTupleOptStart(items, "optout");
    if (!def.rest) {
      if (input.length < optinStart) {
        payload.issues.push({
          code: "too_small",
          minimum: optinStart,
          inclusive: true,
          input,
          inst,
          origin: "array"
        });
        return payload;
      }
      if (input.length > items.length) {
        payload.issues.push({
          code: "too_big",
          maximum: items.length,
          inclusive: true,
          input,
          inst,
          origin: "array"
        });
      }
    }
    const itemResults = new Array(items.length);
    const abortEarly = def.rest ? ctx?.abortEarly : void 0;
    let itemAborted = false;
    for (let i = 0; i < items.length; i++) {
      const r = items[i]._zod.run({
        value: input[i],
        issues: []
      }, ctx);
      if (r instanceof Promise) {
        proms.push(r.then((rr) => {
          itemResults[i] = rr;
        }));
      } else {
        itemResults[i] = r;
        if (abortEarly && !itemAborted && r.issues.length) itemAborted = aborted(r);
      }
    }
    if (def.rest && !itemAborted) {
      let i = items.length - 1;
      const rest = input.slice(items.length);
      let seen = payload.issues.length;
      for (const el of rest) {
        if (abortEarly && payload.issues.length !== seen) {
          if (aborted(payload, seen)) break;
          seen = payload.issues.length;
        }
        i++;
        const result = def.rest._zod.run({
          value: el,
          issues: []
        }, ctx);
        if (result instanceof Promise) {
          proms.push(result.then((r) => handleTupleResult(r, payload, i)));
        } else {
          handleTupleResult(result, payload, i);
        }
      }
    }
    if (proms.length) {
      return Promise.all(proms).then(() => handleTupleResults(itemResults, payload, items, input, optoutStart));
    }
    return handleTupleResults(itemResults, payload, items, input, optoutStart);
  };
});
function getTupleOptStart(items, key) {
  for (let i = items.length - 1; i >= 0; i--) {
    const omittable = key === "optin" ? items[i]._zod.optin !== void 0 : items[i]._zod.optout === "optional";
    if (!omittable) return i + 1;
  }
  return 0;
}
function handleTupleResult(result, final, index) {
  if (result.issues.length) {
    final.issues.push(...prefixIssues(index, result.issues));
  }
  final.value[index] = result.value;
}
function handleTupleResults(itemResults, final, items, input, optoutStart) {
  for (let i = 0; i < items.length; i++) {
    const r = itemResults[i];
    const isPresent = i < input.length;
    if (!isPresent && i >= optoutStart && items[i]._zod.optin === "optional") {
      final.value.length = i;
      break;
    }
    if (r.issues.length) {
      if (!isPresent && i >= optoutStart) {
        final.value.length = i;
        break;
      }
      final.issues.push(...prefixIssues(i, r.issues));
    }
    final.value[i] = r.value;
  }
  for (let i = final.value.length - 1; i >= input.length; i--) {
    if (items[i]._zod.optout === "optional" && final.value[i] === void 0) {
      final.value.length = i;
    } else {
      break;
    }
  }
  return final;
}
var $ZodEnum = /* @__PURE__ */ $constructor("$ZodEnum", (inst, def) => {
  $ZodType.init(inst, def);
  const values = getEnumValues(def.entries);
  const valuesSet = new Set(values);
  inst._zod.values = valuesSet;
  defineLazyInternal(inst, "pattern", (zod) => {
    const patternValues = getEnumValues(zod.def.entries).filter((k) => propertyKeyTypes.has(typeof k));
    return new RegExp(patternValues.length ? `^(${patternValues.map((o) => escapeRegex(o.toString())).join("|")})$` : "^[^\\s\\S]$");
  });
  inst._zod.parse = (payload, _ctx) => {
    const input = payload.value;
    if (valuesSet.has(input)) {
      return payload;
    }
    payload.issues.push({
      code: "invalid_value",
      values,
      input,
      inst
    });
    return payload;
  };
});
var $ZodLiteral = /* @__PURE__ */ $constructor("$ZodLiteral", (inst, def) => {
  $ZodType.init(inst, def);
  const values = new Set(def.values);
  inst._zod.values = values;
  defineLazyInternal(inst, "pattern", (zod) => {
    const vals = zod.def.values;
    return new RegExp(vals.length ? `^(${vals.map((o) => typeof o === "string" ? escapeRegex(o) : o ? escapeRegex(o.toString()) : String(o)).join("|")})$` : "^[^\\s\\S]$");
  });
  inst._zod.parse = (payload, _ctx) => {
    const input = payload.value;
    if (values.has(input)) {
      return payload;
    }
    payload.issues.push({
      code: "invalid_value",
      values: def.values,
      input,
      inst
    });
    return payload;
  };
});
var $ZodTransform = /* @__PURE__ */ $constructor("$ZodTransform", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.optin = "optional";
  globalConfig.memoizer?.guard(inst);
  inst._zod.parse = (payload, ctx) => {
    if (ctx.direction === "backward") {
      throw new $ZodEncodeError(inst.constructor.name);
    }
    const _out = def.transform(payload.value, payload);
    if (ctx.async) {
      const output = _out instanceof Promise ? _out : Promise.resolve(_out);
      return output.then((output2) => {
        payload.value = output2;
        return payload;
      });
    }
    if (_out instanceof Promise) {
      throw new $ZodAsyncError();
    }
    payload.value = _out;
    return payload;
  };
});
function handleOptionalResult(payload, result) {
  payload.value = result.issues.length ? void 0 : result.value;
  return payload;
}
var $ZodOptional = /* @__PURE__ */ $constructor("$ZodOptional", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "optin", (zod) => zod.def.innerType._zod.optin === "defaulted" ? "defaulted" : "optional");
  inst._zod.optout = "optional";
  defineLazyInternal(inst, "values", (zod) => {
    const values = zod.def.innerType._zod.values;
    return values ? /* @__PURE__ */ new Set([
      ...values,
      void 0
    ]) : void 0;
  });
  defineLazyInternal(inst, "pattern", (zod) => {
    const pattern = zod.def.innerType._zod.pattern;
    return pattern ? new RegExp(`^(${cleanRegex(pattern.source)})?$`) : void 0;
  });
  inst._zod.parse = (payload, ctx) => {
    if (payload.value === void 0) {
      if (def.innerType._zod.optin !== "defaulted") return payload;
      const result = def.innerType._zod.run({
        value: payload.value,
        issues: []
      }, ctx);
      if (result instanceof Promise) return result.then((result2) => handleOptionalResult(payload, result2));
      return handleOptionalResult(payload, result);
    }
    return def.innerType._zod.run(payload, ctx);
  };
});
var $ZodExactOptional = /* @__PURE__ */ $constructor("$ZodExactOptional", (inst, def) => {
  $ZodOptional.init(inst, def);
  defineLazyInternal(inst, "values", (zod) => zod.def.innerType._zod.values);
  defineLazyInternal(inst, "pattern", (zod) => zod.def.innerType._zod.pattern);
  inst._zod.parse = (payload, ctx) => {
    return def.innerType._zod.run(payload, ctx);
  };
});
var $ZodNullable = /* @__PURE__ */ $constructor("$ZodNullable", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "optin", (zod) => zod.def.innerType._zod.optin);
  defineLazyInternal(inst, "optout", (zod) => zod.def.innerType._zod.optout);
  defineLazyInternal(inst, "pattern", (zod) => {
    const pattern = zod.def.innerType._zod.pattern;
    return pattern ? new RegExp(`^(${cleanRegex(pattern.source)}|null)$`) : void 0;
  });
  defineLazyInternal(inst, "values", (zod) => {
    return zod.def.innerType._zod.values ? /* @__PURE__ */ new Set([
      ...zod.def.innerType._zod.values,
      null
    ]) : void 0;
  });
  inst._zod.parse = (payload, ctx) => {
    if (payload.value === null) return payload;
    return def.innerType._zod.run(payload, ctx);
  };
});
var $ZodDefault = /* @__PURE__ */ $constructor("$ZodDefault", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.optin = "defaulted";
  defineLazyInternal(inst, "values", (zod) => zod.def.innerType._zod.values);
  inst._zod.parse = (payload, ctx) => {
    if (ctx.direction === "backward") {
      return def.innerType._zod.run(payload, ctx);
    }
    if (payload.value === void 0) {
      payload.value = def.defaultValue;
      return payload;
    }
    const result = def.innerType._zod.run(payload, ctx);
    if (result instanceof Promise) {
      return result.then((result2) => handleDefaultResult(result2, def));
    }
    return handleDefaultResult(result, def);
  };
});
function handleDefaultResult(payload, def) {
  if (payload.value === void 0) {
    payload.value = def.defaultValue;
  }
  return payload;
}
var $ZodPrefault = /* @__PURE__ */ $constructor("$ZodPrefault", (inst, def) => {
  $ZodType.init(inst, def);
  inst._zod.optin = "defaulted";
  defineLazyInternal(inst, "values", (zod) => zod.def.innerType._zod.values);
  inst._zod.parse = (payload, ctx) => {
    if (ctx.direction === "backward") {
      return def.innerType._zod.run(payload, ctx);
    }
    if (payload.value === void 0) {
      payload.value = def.defaultValue;
    }
    return def.innerType._zod.run(payload, ctx);
  };
});
var $ZodNonOptional = /* @__PURE__ */ $constructor("$ZodNonOptional", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "values", (zod) => {
    const v = zod.def.innerType._zod.values;
    return v ? new Set([
      ...v
    ].filter((x) => x !== void 0)) : void 0;
  });
  inst._zod.parse = (payload, ctx) => {
    const result = def.innerType._zod.run(payload, ctx);
    if (result instanceof Promise) {
      return result.then((result2) => handleNonOptionalResult(result2, inst));
    }
    return handleNonOptionalResult(result, inst);
  };
});
function handleNonOptionalResult(payload, inst) {
  if (!payload.issues.length && payload.value === void 0) {
    payload.issues.push({
      code: "invalid_type",
      expected: "nonoptional",
      input: payload.value,
      inst
    });
  }
  return payload;
}
function handleCatchResult(payload, result, def, ctx) {
  if (!result.issues.length) {
    payload.value = result.value;
    if (result.memo) payload.memo = true;
    return payload;
  }
  payload.value = def.catchValue({
    ...result,
    value: payload.value,
    error: {
      issues: result.issues.map((iss) => finalizeIssue(iss, ctx, config()))
    },
    input: payload.value
  });
  return payload;
}
var $ZodCatch = /* @__PURE__ */ $constructor("$ZodCatch", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "optin", (zod) => zod.def.innerType._zod.optin === "defaulted" ? "defaulted" : "optional");
  defineLazyInternal(inst, "optout", (zod) => zod.def.innerType._zod.optout);
  defineLazyInternal(inst, "values", (zod) => zod.def.innerType._zod.values);
  inst._zod.parse = (payload, ctx) => {
    if (ctx.direction === "backward") {
      return def.innerType._zod.run(payload, ctx);
    }
    const result = def.innerType._zod.run({
      value: payload.value,
      issues: []
    }, ctx);
    if (result instanceof Promise) {
      return result.then((result2) => handleCatchResult(payload, result2, def, ctx));
    }
    return handleCatchResult(payload, result, def, ctx);
  };
});
var $ZodPipe = /* @__PURE__ */ $constructor("$ZodPipe", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "values", (zod) => zod.def.in._zod.values);
  defineLazyInternal(inst, "optin", (zod) => zod.def.in._zod.optin);
  defineLazyInternal(inst, "optout", (zod) => zod.def.out._zod.optout);
  defineLazyInternal(inst, "propValues", (zod) => zod.def.in._zod.propValues);
  inst._zod.parse = (payload, ctx) => {
    if (ctx.direction === "backward") {
      const right = def.out._zod.run(payload, ctx);
      if (right instanceof Promise) {
        return right.then((right2) => handlePipeResult(right2, def.in, ctx));
      }
      return handlePipeResult(right, def.in, ctx);
    }
    const left = def.in._zod.run(payload, ctx);
    if (left instanceof Promise) {
      return left.then((left2) => handlePipeResult(left2, def.out, ctx));
    }
    return handlePipeResult(left, def.out, ctx);
  };
});
function handlePipeResult(left, next, ctx) {
  if (left.issues.some((iss) => iss.code !== "unrecognized_keys")) {
    left.aborted = true;
    return left;
  }
  return next._zod.run({
    value: left.value,
    issues: left.issues
  }, ctx);
}
var $ZodReadonly = /* @__PURE__ */ $constructor("$ZodReadonly", (inst, def) => {
  $ZodType.init(inst, def);
  defineLazyInternal(inst, "propValues", (zod) => zod.def.innerType._zod.propValues);
  defineLazyInternal(inst, "values", (zod) => zod.def.innerType._zod.values);
  defineLazyInternal(inst, "optin", (zod) => zod.def.innerType?._zod?.optin);
  defineLazyInternal(inst, "optout", (zod) => zod.def.innerType?._zod?.optout);
  inst._zod.parse = (payload, ctx) => {
    if (ctx.direction === "backward") {
      return def.innerType._zod.run(payload, ctx);
    }
    const result = def.innerType._zod.run(payload, ctx);
    if (result instanceof Promise) {
      return result.then(handleReadonlyResult);
    }
    return handleReadonlyResult(result);
  };
});
function handleReadonlyResult(payload) {
  if (!payload.memo) payload.value = Object.freeze(payload.value);
  return payload;
}
var $ZodCustom = /* @__PURE__ */ $constructor("$ZodCustom", (inst, def) => {
  $ZodCheck.init(inst, def);
  $ZodType.init(inst, def);
  inst._zod.parse = (payload, _) => {
    return payload;
  };
  inst._zod.check = (payload) => {
    const input = payload.value;
    const r = def.fn(input);
    if (r instanceof Promise) {
      return r.then((r2) => handleRefineResult(r2, payload, input, inst));
    }
    handleRefineResult(r, payload, input, inst);
    return;
  };
});
function handleRefineResult(result, payload, input, inst) {
  if (!result) {
    const _iss = {
      code: "custom",
      input,
      inst,
      path: [
        ...inst._zod.def.path ?? []
      ],
      continue: !inst._zod.def.abort
    };
    if (inst._zod.def.params) _iss.params = inst._zod.def.params;
    payload.issues.push(issue(_iss));
  }
}

var $ZodCyclicError = class extends Error {
  constructor() {
    super(`Cannot parse a reference cycle that closes through a transform`);
    this.name = "ZodCyclicError";
  }
};
var STATE = "~memo";
var NO_ISSUES = [];
function isRef(value) {
  return value !== null && typeof value === "object";
}
function cloneIssues(issues) {
  return issues.map((iss) => iss.path ? {
    ...iss,
    path: iss.path.slice()
  } : {
    ...iss
  });
}
var recursive = /* @__PURE__ */ new WeakMap();
var NONE = 0;
var ASSUMED = 1;
var PROVEN = 2;
function isRecursive(inst, stack, resolve) {
  const cached2 = recursive.get(inst);
  if (cached2 !== void 0) return cached2 ? PROVEN : NONE;
  if (stack.has(inst)) return PROVEN;
  stack.add(inst);
  let result = NONE;
  const check = (child) => {
    if (result !== PROVEN && child?._zod) {
      const answer = isRecursive(child, stack, resolve);
      if (answer > result) result = answer;
    }
  };
  const shape = (sh, spread) => {
    let answer = NONE;
    for (const key of Reflect.ownKeys(sh)) {
      const desc = Object.getOwnPropertyDescriptor(sh, key);
      if (spread && !desc.enumerable) continue;
      const child = desc.get ? ASSUMED : desc.value?._zod ? isRecursive(desc.value, stack, resolve) : NONE;
      if (child > answer) answer = child;
    }
    return answer;
  };
  const merge2 = (answer) => {
    if (answer > result) result = answer;
  };
  const def = inst._zod.def;
  const kind = def.type;
  switch (kind) {
    case "object": {
      const raw = rawShape(def);
      merge2(raw ? shape(raw, true) : ASSUMED);
      check(def.catchall);
      break;
    }
    case "array":
      check(def.element);
      break;
    case "tuple":
      for (const el of def.items) check(el);
      check(def.rest);
      break;
    case "record":
    case "map":
      check(def.keyType);
      check(def.valueType);
      break;
    case "set":
      check(def.valueType);
      break;
    case "union":
      for (const el of def.options) check(el);
      break;
    case "intersection":
      check(def.left);
      check(def.right);
      break;
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "catch":
    case "readonly":
    case "nonoptional":
    case "promise":
    case "success":
      check(def.innerType);
      break;
    case "pipe":
      check(def.in);
      check(def.out);
      break;
    case "function":
      check(def.input);
      check(def.output);
      break;
    // `$ZodLazy` caches its inner on the def, so a resolved edge is followed exactly
    case "lazy": {
      const inner = def._cachedInner ?? (resolve ? inst._zod.innerType : void 0);
      merge2(inner ? isRecursive(inner, stack, false) : ASSUMED);
      break;
    }
    // a leaf by choice: `parts` are regex fragments, not data positions
    case "template_literal":
    // leaves
    case "string":
    case "number":
    case "int":
    case "boolean":
    case "bigint":
    case "symbol":
    case "undefined":
    case "null":
    case "void":
    case "never":
    case "any":
    case "unknown":
    case "date":
    case "nan":
    case "enum":
    case "literal":
    case "file":
    case "transform":
    case "custom":
      break;
    default: {
      kind;
      for (const key in def) {
        const desc = Object.getOwnPropertyDescriptor(def, key);
        if (!desc || desc.get) continue;
        const value = desc.value;
        if (!value || typeof value !== "object") continue;
        if (value._zod) check(value);
        else if (Array.isArray(value)) for (const el of value) check(el);
      }
    }
  }
  stack.delete(inst);
  return settle(inst, result);
}
function settle(inst, answer) {
  if (answer !== ASSUMED) recursive.set(inst, answer === PROVEN);
  return answer;
}
function bucketFor(state, inst) {
  let bucket = state.buckets.get(inst);
  if (!bucket) {
    bucket = /* @__PURE__ */ new WeakMap();
    state.buckets.set(inst, bucket);
  }
  return bucket;
}
var handoff;
var open = [];
var memo = {
  alloc(_inst, payload, empty) {
    const bucket = handoff;
    if (!bucket) return empty;
    handoff = void 0;
    const entry = {
      value: empty,
      issues: null
    };
    bucket.set(payload.value, entry);
    open.push(entry);
    return empty;
  },
  guard(inst) {
    var _a3;
    (_a3 = inst._zod).deferred ?? (_a3.deferred = []);
    inst._zod.deferred.push(() => {
      const base = inst._zod.parse;
      const wrapped = (payload, ctx) => {
        if (ctx.direction !== "backward" && isBackEdge(ctx, payload.value)) throw new $ZodCyclicError();
        return base(payload, ctx);
      };
      inst._zod.parse = wrapped;
      if (inst._zod.run === base) inst._zod.run = wrapped;
    });
  },
  attach(inst) {
    var _a3;
    let isRecursiveInst;
    let rechecked = false;
    let lastCtx;
    let lastBucket;
    (_a3 = inst._zod).deferred ?? (_a3.deferred = []);
    inst._zod.deferred.push(() => {
      const base = inst._zod.parse;
      const wrapped = (payload, ctx) => {
        if (isRecursiveInst === void 0) {
          const walked = isRecursive(inst, /* @__PURE__ */ new Set(), false);
          if (walked === NONE) {
            inst._zod.parse = base;
            if (inst._zod.run === wrapped) inst._zod.run = base;
            return base(payload, ctx);
          }
          if (walked === PROVEN || rechecked) isRecursiveInst = true;
          else rechecked = true;
        }
        const input = payload.value;
        if (!isRef(input)) return base(payload, ctx);
        let state = ctx[STATE];
        if (!state) {
          state = {
            buckets: /* @__PURE__ */ new WeakMap(),
            backEdges: void 0
          };
          ctx[STATE] = state;
        }
        let bucket;
        if (lastCtx === ctx) {
          bucket = lastBucket;
        } else {
          bucket = bucketFor(state, inst);
          lastCtx = ctx;
          lastBucket = bucket;
        }
        const hit = bucket.get(input);
        if (hit) {
          payload.value = hit.value;
          if (hit.issues) {
            if (hit.issues.length) payload.issues.push(...cloneIssues(hit.issues));
          } else {
            payload.memo = true;
            state.backEdges ?? (state.backEdges = /* @__PURE__ */ new WeakSet());
            state.backEdges.add(hit.value);
          }
          return payload;
        }
        handoff = bucket;
        const depth = open.length;
        const result = base(payload, ctx);
        handoff = void 0;
        const entry = open.length > depth ? open.pop() : void 0;
        if (result instanceof Promise) {
          return result.then((r) => {
            if (entry) entry.issues = r.issues.length ? cloneIssues(r.issues) : NO_ISSUES;
            return r;
          });
        }
        if (entry) entry.issues = result.issues.length ? cloneIssues(result.issues) : NO_ISSUES;
        return result;
      };
      inst._zod.parse = wrapped;
      if (inst._zod.run === base) inst._zod.run = wrapped;
    });
  }
};
function memoizer() {
  return memo;
}
function isBackEdge(ctx, value) {
  const backEdges = ctx[STATE]?.backEdges;
  return backEdges !== void 0 && isRef(value) && backEdges.has(value);
}

var error = () => {
  const Sizable = {
    string: {
      unit: "characters",
      verb: "to have"
    },
    file: {
      unit: "bytes",
      verb: "to have"
    },
    array: {
      unit: "items",
      verb: "to have"
    },
    set: {
      unit: "items",
      verb: "to have"
    },
    map: {
      unit: "entries",
      verb: "to have"
    }
  };
  function getSizing(origin) {
    return Sizable[origin] ?? null;
  }
  const FormatDictionary = {
    regex: "input",
    email: "email address",
    url: "URL",
    emoji: "emoji",
    uuid: "UUID",
    uuidv4: "UUIDv4",
    uuidv6: "UUIDv6",
    nanoid: "nanoid",
    guid: "GUID",
    cuid: "cuid",
    cuid2: "cuid2",
    ulid: "ULID",
    xid: "XID",
    ksuid: "KSUID",
    datetime: "ISO datetime",
    date: "ISO date",
    time: "ISO time",
    duration: "ISO duration",
    ipv4: "IPv4 address",
    ipv6: "IPv6 address",
    mac: "MAC address",
    cidrv4: "IPv4 range",
    cidrv6: "IPv6 range",
    base64: "base64-encoded string",
    base64url: "base64url-encoded string",
    json_string: "JSON string",
    e164: "E.164 number",
    currency_code: "currency code",
    credit_card: "credit card number",
    iban: "IBAN",
    jwt: "JWT",
    template_literal: "input"
  };
  const TypeDictionary = {
    // Compatibility: "nan" -> "NaN" for display
    nan: "NaN"
  };
  function getTypeName(type, input) {
    if (type === "number" && typeof input === "number" && !Number.isFinite(input)) {
      return String(input);
    }
    return TypeDictionary[type] ?? type;
  }
  return (issue2) => {
    switch (issue2.code) {
      case "invalid_type": {
        const expected = getTypeName(issue2.expected);
        const receivedType = parsedType(issue2.input);
        const received = getTypeName(receivedType, issue2.input);
        return `Invalid input: expected ${expected}, received ${received}`;
      }
      case "invalid_value":
        if (issue2.values.length === 1) return `Invalid input: expected ${stringifyPrimitive(issue2.values[0])}`;
        return `Invalid option: expected one of ${joinValues(issue2.values, "|")}`;
      case "too_big": {
        const adj = issue2.exact ? "exactly " : issue2.inclusive ? "<=" : "<";
        const sizing = getSizing(issue2.origin);
        if (sizing) return `Too big: expected ${issue2.origin ?? "value"} to have ${adj}${issue2.maximum.toString()} ${sizing.unit ?? "elements"}`;
        return `Too big: expected ${issue2.origin ?? "value"} to be ${adj}${issue2.maximum.toString()}`;
      }
      case "too_small": {
        const adj = issue2.exact ? "exactly " : issue2.inclusive ? ">=" : ">";
        const sizing = getSizing(issue2.origin);
        if (sizing) {
          return `Too small: expected ${issue2.origin} to have ${adj}${issue2.minimum.toString()} ${sizing.unit}`;
        }
        return `Too small: expected ${issue2.origin} to be ${adj}${issue2.minimum.toString()}`;
      }
      case "invalid_format": {
        const _issue = issue2;
        if (_issue.format === "starts_with") {
          return `Invalid string: must start with "${_issue.prefix}"`;
        }
        if (_issue.format === "ends_with") return `Invalid string: must end with "${_issue.suffix}"`;
        if (_issue.format === "includes") return `Invalid string: must include "${_issue.includes}"`;
        if (_issue.format === "regex") return `Invalid string: must match pattern ${_issue.pattern}`;
        return `Invalid ${FormatDictionary[_issue.format] ?? issue2.format}`;
      }
      case "not_multiple_of":
        return `Invalid number: must be a multiple of ${issue2.divisor}`;
      case "unrecognized_keys":
        return `Unrecognized key${issue2.keys.length > 1 ? "s" : ""}: ${joinValues(issue2.keys, ", ")}`;
      case "invalid_key":
        return `Invalid key in ${issue2.origin}`;
      case "invalid_union":
        if (issue2.options && Array.isArray(issue2.options) && issue2.options.length > 0) {
          const opts = issue2.options.map((o) => `'${o}'`).join(" | ");
          return `Invalid discriminator value. Expected ${opts}`;
        }
        if (issue2.inclusive === false) {
          return "Invalid input: more than one option matched";
        }
        return "Invalid input";
      case "invalid_element":
        return `Invalid value in ${issue2.origin}`;
      default:
        return `Invalid input`;
    }
  };
};
function en_default() {
  return {
    localeError: error()
  };
}

var _a2;
var $ZodRegistry = class {
  constructor() {
    this._map = /* @__PURE__ */ new WeakMap();
    this._idmap = /* @__PURE__ */ new Map();
  }
  add(schema, ..._meta) {
    const meta2 = _meta[0];
    this._map.set(schema, meta2);
    if (meta2 && typeof meta2 === "object" && "id" in meta2) {
      this._idmap.set(meta2.id, schema);
    }
    return this;
  }
  clear() {
    this._map = /* @__PURE__ */ new WeakMap();
    this._idmap = /* @__PURE__ */ new Map();
    return this;
  }
  remove(schema) {
    const meta2 = this._map.get(schema);
    if (meta2 && typeof meta2 === "object" && "id" in meta2) {
      this._idmap.delete(meta2.id);
    }
    this._map.delete(schema);
    return this;
  }
  get(schema) {
    const p = schema._zod.parent;
    if (p) {
      const pm = {
        ...this.get(p) ?? {}
      };
      delete pm.id;
      const f = {
        ...pm,
        ...this._map.get(schema)
      };
      return Object.keys(f).length ? f : void 0;
    }
    return this._map.get(schema);
  }
  has(schema) {
    return this._map.has(schema);
  }
};
function registry() {
  return new $ZodRegistry();
}
(_a2 = globalThis).__zod_globalRegistry ?? (_a2.__zod_globalRegistry = registry());
var globalRegistry = globalThis.__zod_globalRegistry;

function snapshotChecks(def) {
  if (def.checks) def.checks = [
    ...def.checks
  ];
  return def;
}
// @__NO_SIDE_EFFECTS__
function _string(Class2, params) {
  return new Class2(snapshotChecks({
    type: "string",
    ...normalizeParams(params)
  }));
}
// @__NO_SIDE_EFFECTS__
function _email(Class2, params) {
  return new Class2({
    type: "string",
    format: "email",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _guid(Class2, params) {
  return new Class2({
    type: "string",
    format: "guid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _uuid(Class2, params) {
  return new Class2({
    type: "string",
    format: "uuid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _uuidv4(Class2, params) {
  return new Class2({
    type: "string",
    format: "uuid",
    check: "string_format",
    abort: false,
    version: "v4",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _uuidv6(Class2, params) {
  return new Class2({
    type: "string",
    format: "uuid",
    check: "string_format",
    abort: false,
    version: "v6",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _uuidv7(Class2, params) {
  return new Class2({
    type: "string",
    format: "uuid",
    check: "string_format",
    abort: false,
    version: "v7",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _url(Class2, params) {
  return new Class2({
    type: "string",
    format: "url",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _emoji2(Class2, params) {
  return new Class2({
    type: "string",
    format: "emoji",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _nanoid(Class2, params) {
  return new Class2({
    type: "string",
    format: "nanoid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _cuid(Class2, params) {
  return new Class2({
    type: "string",
    format: "cuid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _cuid2(Class2, params) {
  return new Class2({
    type: "string",
    format: "cuid2",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _ulid(Class2, params) {
  return new Class2({
    type: "string",
    format: "ulid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _xid(Class2, params) {
  return new Class2({
    type: "string",
    format: "xid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _ksuid(Class2, params) {
  return new Class2({
    type: "string",
    format: "ksuid",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _ipv4(Class2, params) {
  return new Class2({
    type: "string",
    format: "ipv4",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _ipv6(Class2, params) {
  return new Class2({
    type: "string",
    format: "ipv6",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _cidrv4(Class2, params) {
  return new Class2({
    type: "string",
    format: "cidrv4",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _cidrv6(Class2, params) {
  return new Class2({
    type: "string",
    format: "cidrv6",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _base64(Class2, params) {
  return new Class2({
    type: "string",
    format: "base64",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _base64url(Class2, params) {
  return new Class2({
    type: "string",
    format: "base64url",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _e164(Class2, params) {
  return new Class2({
    type: "string",
    format: "e164",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _jwt(Class2, params) {
  return new Class2({
    type: "string",
    format: "jwt",
    check: "string_format",
    abort: false,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _isoDateTime(Class2, params) {
  return new Class2({
    type: "string",
    format: "datetime",
    check: "string_format",
    offset: false,
    local: false,
    precision: null,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _isoDate(Class2, params) {
  return new Class2({
    type: "string",
    format: "date",
    check: "string_format",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _isoTime(Class2, params) {
  return new Class2({
    type: "string",
    format: "time",
    check: "string_format",
    precision: null,
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _isoDuration(Class2, params) {
  return new Class2({
    type: "string",
    format: "duration",
    check: "string_format",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _number(Class2, params) {
  return new Class2(snapshotChecks({
    type: "number",
    checks: [],
    ...normalizeParams(params)
  }));
}
// @__NO_SIDE_EFFECTS__
function _int(Class2, params) {
  return new Class2({
    type: "number",
    check: "number_format",
    abort: false,
    format: "safeint",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _boolean(Class2, params) {
  return new Class2({
    type: "boolean",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _unknown(Class2) {
  return new Class2({
    type: "unknown"
  });
}
// @__NO_SIDE_EFFECTS__
function _never(Class2, params) {
  return new Class2({
    type: "never",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _lt(value, params) {
  return new $ZodCheckLessThan({
    check: "less_than",
    ...normalizeParams(params),
    value,
    inclusive: false
  });
}
// @__NO_SIDE_EFFECTS__
function _lte(value, params) {
  return new $ZodCheckLessThan({
    check: "less_than",
    ...normalizeParams(params),
    value,
    inclusive: true
  });
}
// @__NO_SIDE_EFFECTS__
function _gt(value, params) {
  return new $ZodCheckGreaterThan({
    check: "greater_than",
    ...normalizeParams(params),
    value,
    inclusive: false
  });
}
// @__NO_SIDE_EFFECTS__
function _gte(value, params) {
  return new $ZodCheckGreaterThan({
    check: "greater_than",
    ...normalizeParams(params),
    value,
    inclusive: true
  });
}
// @__NO_SIDE_EFFECTS__
function _multipleOf(value, params) {
  return new $ZodCheckMultipleOf({
    check: "multiple_of",
    ...normalizeParams(params),
    value
  });
}
// @__NO_SIDE_EFFECTS__
function _maxLength(maximum, params) {
  const ch = new $ZodCheckMaxLength({
    check: "max_length",
    ...normalizeParams(params),
    maximum
  });
  return ch;
}
// @__NO_SIDE_EFFECTS__
function _minLength(minimum, params) {
  return new $ZodCheckMinLength({
    check: "min_length",
    ...normalizeParams(params),
    minimum
  });
}
// @__NO_SIDE_EFFECTS__
function _length(length, params) {
  return new $ZodCheckLengthEquals({
    check: "length_equals",
    ...normalizeParams(params),
    length
  });
}
// @__NO_SIDE_EFFECTS__
function _regex(pattern, params) {
  return new $ZodCheckRegex({
    check: "string_format",
    format: "regex",
    ...normalizeParams(params),
    pattern
  });
}
// @__NO_SIDE_EFFECTS__
function _lowercase(params) {
  return new $ZodCheckLowerCase({
    check: "string_format",
    format: "lowercase",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _uppercase(params) {
  return new $ZodCheckUpperCase({
    check: "string_format",
    format: "uppercase",
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _includes(includes, params) {
  return new $ZodCheckIncludes({
    check: "string_format",
    format: "includes",
    ...normalizeParams(params),
    includes
  });
}
// @__NO_SIDE_EFFECTS__
function _startsWith(prefix, params) {
  return new $ZodCheckStartsWith({
    check: "string_format",
    format: "starts_with",
    ...normalizeParams(params),
    prefix
  });
}
// @__NO_SIDE_EFFECTS__
function _endsWith(suffix, params) {
  return new $ZodCheckEndsWith({
    check: "string_format",
    format: "ends_with",
    ...normalizeParams(params),
    suffix
  });
}
// @__NO_SIDE_EFFECTS__
function _overwrite(tx) {
  return new $ZodCheckOverwrite({
    check: "overwrite",
    tx
  });
}
// @__NO_SIDE_EFFECTS__
function _normalize(form) {
  return /* @__PURE__ */ _overwrite((input) => input.normalize(form));
}
// @__NO_SIDE_EFFECTS__
function _trim() {
  return /* @__PURE__ */ _overwrite((input) => input.trim());
}
// @__NO_SIDE_EFFECTS__
function _toLowerCase() {
  return /* @__PURE__ */ _overwrite((input) => input.toLowerCase());
}
// @__NO_SIDE_EFFECTS__
function _toUpperCase() {
  return /* @__PURE__ */ _overwrite((input) => input.toUpperCase());
}
// @__NO_SIDE_EFFECTS__
function _slugify() {
  return /* @__PURE__ */ _overwrite((input) => slugify(input));
}
// @__NO_SIDE_EFFECTS__
function _array(Class2, element, params) {
  return new Class2({
    type: "array",
    element,
    // get element() {
    //   return element;
    // },
    ...normalizeParams(params)
  });
}
// @__NO_SIDE_EFFECTS__
function _refine(Class2, fn, _params) {
  const schema = new Class2({
    type: "custom",
    check: "custom",
    fn,
    ...normalizeParams(_params)
  });
  return schema;
}
// @__NO_SIDE_EFFECTS__
function _superRefine(fn, params) {
  const ch = /* @__PURE__ */ _check((payload) => {
    payload.addIssue = (issue2) => {
      if (typeof issue2 === "string") {
        payload.issues.push(issue(issue2, payload.value, ch._zod.def));
      } else {
        const _issue = issue2;
        if (_issue.fatal) _issue.continue = false;
        _issue.code ?? (_issue.code = "custom");
        if (!("input" in _issue)) _issue.input = payload.value;
        _issue.inst ?? (_issue.inst = ch);
        _issue.continue ?? (_issue.continue = !ch._zod.def.abort);
        payload.issues.push(issue(_issue));
      }
    };
    return fn(payload.value, payload);
  }, params);
  return ch;
}
// @__NO_SIDE_EFFECTS__
function _check(fn, params) {
  const ch = new $ZodCheck({
    check: "custom",
    ...normalizeParams(params)
  });
  ch._zod.check = fn;
  return ch;
}

function assignProps(target, ...sources) {
  for (const source of sources) {
    for (const key of Reflect.ownKeys(source)) {
      if (Object.prototype.propertyIsEnumerable.call(source, key)) {
        assignProp(target, key, source[key]);
      }
    }
  }
  return target;
}
function initializeContext(params) {
  let target = params?.target ?? "draft-2020-12";
  if (target === "draft-4") target = "draft-04";
  if (target === "draft-7") target = "draft-07";
  return {
    processors: params.processors ?? {},
    metadataRegistry: params?.metadata ?? globalRegistry,
    target,
    unrepresentable: params?.unrepresentable ?? "throw",
    override: params?.override ?? (() => {
    }),
    io: params?.io ?? "output",
    counter: 0,
    seen: /* @__PURE__ */ new Map(),
    sharedDefsExtractedFor: void 0,
    sharedEmitDoneFor: void 0,
    cycles: params?.cycles ?? "ref",
    reused: params?.reused ?? "inline",
    intersections: [],
    deferred: [],
    external: params?.external ?? void 0
  };
}
function handleUnrepresentable(schema, ctx, json, params, message) {
  const result = typeof ctx.unrepresentable === "function" ? ctx.unrepresentable({
    zodSchema: schema,
    path: params.path,
    message
  }) : ctx.unrepresentable;
  if (result === "any") return false;
  if (result === void 0 || result === "throw") throw new Error(message);
  Object.assign(json, result);
  return true;
}
function processSchema(schema, ctx, _params = {
  path: [],
  schemaPath: []
}) {
  var _a3;
  const def = schema._zod.def;
  const seen = ctx.seen.get(schema);
  if (seen) {
    seen.count++;
    const isCycle = _params.schemaPath.includes(schema);
    if (isCycle) {
      seen.cycle = _params.path;
    }
    return seen.schema;
  }
  const result = {
    schema: {},
    count: 1,
    cycle: void 0,
    path: _params.path
  };
  ctx.seen.set(schema, result);
  ctx.sharedDefsExtractedFor = void 0;
  ctx.sharedEmitDoneFor = void 0;
  const overrideSchema = schema._zod.toJSONSchema?.();
  if (overrideSchema) {
    result.schema = overrideSchema;
  } else {
    const params = {
      ..._params,
      schemaPath: [
        ..._params.schemaPath,
        schema
      ],
      path: _params.path
    };
    if (schema._zod.processJSONSchema) {
      schema._zod.processJSONSchema(ctx, result.schema, params);
    } else {
      const _json = result.schema;
      const processor = ctx.processors[def.type];
      if (!processor) {
        throw new Error(`[toJSONSchema]: Non-representable type encountered: ${def.type}`);
      }
      processor(schema, ctx, _json, params);
    }
    const parent = schema._zod.parent;
    if (parent) {
      if (!result.ref) result.ref = parent;
      processSchema(parent, ctx, params);
      ctx.seen.get(parent).isParent = true;
    }
  }
  const meta2 = ctx.metadataRegistry.get(schema);
  if (meta2) assignProps(result.schema, meta2);
  if (ctx.io === "input" && isTransforming(schema)) {
    delete result.schema.examples;
    delete result.schema.default;
  }
  if (ctx.io === "input" && "_prefault" in result.schema) (_a3 = result.schema).default ?? (_a3.default = result.schema._prefault);
  delete result.schema._prefault;
  const _result = ctx.seen.get(schema);
  return _result.schema;
}
function encodeJSONPointerSegment(segment) {
  return segment.replace(/~/g, "~0").replace(/\//g, "~1");
}
function extractDefs(ctx, schema) {
  const root = ctx.seen.get(schema);
  if (!root) throw new Error("Unprocessed schema. This is a bug in Zod.");
  if (ctx.external && ctx.sharedDefsExtractedFor === ctx.external) return;
  const idToSchema = /* @__PURE__ */ new Map();
  for (const entry of ctx.seen.entries()) {
    const id = ctx.metadataRegistry.get(entry[0])?.id;
    if (id) {
      const existing = idToSchema.get(id);
      if (existing && existing !== entry[0]) {
        throw new Error(`Duplicate schema id "${id}" detected during JSON Schema conversion. Two different schemas cannot share the same id when converted together.`);
      }
      idToSchema.set(id, entry[0]);
    }
  }
  const makeURI = (entry) => {
    const defsSegment = ctx.target === "draft-2020-12" ? "$defs" : "definitions";
    if (ctx.external) {
      const externalId = ctx.external.registry.get(entry[0])?.id;
      const uriGenerator = ctx.external.uri ?? ((id2) => id2);
      if (externalId) {
        return {
          ref: uriGenerator(externalId)
        };
      }
      const id = entry[1].defId ?? entry[1].schema.id ?? `schema${ctx.counter++}`;
      entry[1].defId = id;
      return {
        defId: id,
        ref: `${uriGenerator("__shared")}#/${defsSegment}/${encodeJSONPointerSegment(id)}`
      };
    }
    const uriPrefix = `#`;
    const defUriPrefix = `${uriPrefix}/${defsSegment}/`;
    if (entry[1] === root && !entry[1].schema.id) {
      return {
        ref: uriPrefix
      };
    }
    const defId = entry[1].schema.id ?? `__schema${ctx.counter++}`;
    return {
      defId,
      ref: defUriPrefix + encodeJSONPointerSegment(defId)
    };
  };
  const extractToDef = (entry) => {
    if (entry[1].schema.$ref) {
      return;
    }
    const seen = entry[1];
    const { ref, defId } = makeURI(entry);
    seen.def = {
      ...seen.schema
    };
    if (defId) seen.defId = defId;
    const schema2 = seen.schema;
    for (const key in schema2) {
      delete schema2[key];
    }
    schema2.$ref = ref;
  };
  if (ctx.cycles === "throw") {
    for (const entry of ctx.seen.entries()) {
      const seen = entry[1];
      if (seen.cycle) {
        throw new Error(`Cycle detected: #/${seen.cycle?.join("/")}/<root>

Set the \`cycles\` parameter to \`"ref"\` to resolve cyclical schemas with defs.`);
      }
    }
  }
  for (const entry of ctx.seen.entries()) {
    const seen = entry[1];
    if (schema === entry[0]) {
      extractToDef(entry);
      continue;
    }
    if (ctx.external) {
      const ext = ctx.external.registry.get(entry[0])?.id;
      if (schema !== entry[0] && ext) {
        extractToDef(entry);
        continue;
      }
    }
    const id = ctx.metadataRegistry.get(entry[0])?.id;
    if (id) {
      extractToDef(entry);
      continue;
    }
    if (seen.cycle) {
      extractToDef(entry);
      continue;
    }
    if (seen.count > 1) {
      if (ctx.reused === "ref") {
        extractToDef(entry);
      }
    }
  }
  if (ctx.external) ctx.sharedDefsExtractedFor = ctx.external;
}
function compactTypeUnion(schema) {
  const options = schema.anyOf;
  if (!Array.isArray(options) || options.length === 0 || schema.type !== void 0) return;
  const types = [];
  for (const option of options) {
    if (!option || typeof option !== "object") return;
    compactTypeUnion(option);
    const keys = Object.keys(option);
    if (keys.length !== 1 || keys[0] !== "type") return;
    const type = option.type;
    for (const member of Array.isArray(type) ? type : [
      type
    ]) {
      if (typeof member !== "string") return;
      if (!types.includes(member)) types.push(member);
    }
  }
  delete schema.anyOf;
  schema.type = types.length === 1 ? types[0] : types;
}
var FOLDABLE_KEYS = /* @__PURE__ */ new Set([
  "type",
  "properties",
  "required",
  "additionalProperties"
]);
var UNION_KEYS = [
  "oneOf",
  "anyOf"
];
function undeclaredConstraint(member) {
  const extra = member.additionalProperties;
  if (extra === void 0 || extra === false || typeof extra !== "object" || extra === null) return null;
  return Object.keys(extra).length ? extra : null;
}
function foldObjects(members2) {
  const objects = [];
  for (const member of members2) {
    if (typeof member !== "object" || member.type !== "object") return null;
    for (const key in member) {
      if (!FOLDABLE_KEYS.has(key)) return null;
    }
    objects.push(member);
  }
  const properties = {};
  const required2 = /* @__PURE__ */ new Set();
  for (const object of objects) {
    for (const key in object.properties) {
      if (Object.prototype.hasOwnProperty.call(properties, key)) continue;
      const parts2 = [];
      for (const other of objects) {
        const part = other.properties?.[key] ?? undeclaredConstraint(other);
        if (part === null || part === void 0) continue;
        if (!parts2.some((seen) => JSON.stringify(seen) === JSON.stringify(part))) parts2.push(part);
      }
      const merged = parts2.length === 1 ? parts2[0] : foldObjects(parts2) ?? {
        allOf: parts2
      };
      assignProp(properties, key, merged);
    }
    for (const key of object.required ?? []) required2.add(key);
  }
  const folded = {
    type: "object",
    properties
  };
  if (required2.size) folded.required = [
    ...required2
  ];
  if (objects.every((object) => object.additionalProperties === false)) {
    folded.additionalProperties = false;
  } else {
    const constraints = [];
    for (const object of objects) {
      const constraint = undeclaredConstraint(object);
      if (constraint && !constraints.some((seen) => JSON.stringify(seen) === JSON.stringify(constraint))) constraints.push(constraint);
    }
    if (constraints.length === 1) folded.additionalProperties = constraints[0];
    else if (constraints.length > 1) folded.additionalProperties = {
      allOf: constraints
    };
  }
  return folded;
}
function foldIntersection(json) {
  const allOf = json.allOf;
  if (!Array.isArray(allOf) || allOf.length < 2) return;
  for (const key of FOLDABLE_KEYS) if (key in json) return;
  const unions = allOf.filter((m) => UNION_KEYS.some((k) => Array.isArray(m[k])));
  let folded = null;
  if (!unions.length) {
    folded = foldObjects(allOf);
  } else {
    const union2 = unions[0];
    const keyword = UNION_KEYS.find((k) => Array.isArray(union2[k]));
    if (Object.keys(union2).length !== 1) return;
    const rest = allOf.filter((m) => m !== union2);
    const branches = union2[keyword].map((branch) => foldObjects([
      ...rest,
      branch
    ]));
    if (branches.some((b) => !b)) return;
    folded = {
      [keyword]: branches
    };
  }
  if (!folded) return;
  delete json.allOf;
  assignProps(json, folded);
}
function finalize(ctx, schema) {
  const root = ctx.seen.get(schema);
  if (!root) throw new Error("Unprocessed schema. This is a bug in Zod.");
  const flattenRef = (zodSchema) => {
    const seen = ctx.seen.get(zodSchema);
    if (seen.ref === null) return;
    const schema2 = seen.def ?? seen.schema;
    const _cached = {
      ...schema2
    };
    const ref = seen.ref;
    seen.ref = null;
    if (ref) {
      flattenRef(ref);
      const refSeen = ctx.seen.get(ref);
      const refSchema = refSeen.schema;
      if (refSchema.$ref && (ctx.target === "draft-07" || ctx.target === "draft-04" || ctx.target === "openapi-3.0")) {
        schema2.allOf = schema2.allOf ?? [];
        schema2.allOf.push(refSchema);
      } else {
        assignProps(schema2, refSchema);
      }
      assignProps(schema2, _cached);
      const isParentRef = zodSchema._zod.parent === ref;
      if (isParentRef) {
        for (const key in schema2) {
          if (key === "$ref" || key === "allOf") continue;
          if (!(key in _cached)) {
            delete schema2[key];
          }
        }
      }
      if (refSchema.$ref && refSeen.def) {
        for (const key in schema2) {
          if (key === "$ref" || key === "allOf") continue;
          if (key in refSeen.def && JSON.stringify(schema2[key]) === JSON.stringify(refSeen.def[key])) {
            delete schema2[key];
          }
        }
      }
    }
    const parent = zodSchema._zod.parent;
    if (parent && parent !== ref) {
      flattenRef(parent);
      const parentSeen = ctx.seen.get(parent);
      if (parentSeen?.schema.$ref) {
        schema2.$ref = parentSeen.schema.$ref;
        if (parentSeen.def) {
          for (const key in schema2) {
            if (key === "$ref" || key === "allOf") continue;
            if (key in parentSeen.def && JSON.stringify(schema2[key]) === JSON.stringify(parentSeen.def[key])) {
              delete schema2[key];
            }
          }
        }
      }
    }
    ctx.override({
      zodSchema,
      jsonSchema: schema2,
      path: seen.path ?? []
    });
  };
  if (!ctx.external || ctx.sharedEmitDoneFor !== ctx.external) {
    for (const entry of [
      ...ctx.seen.entries()
    ].reverse()) {
      flattenRef(entry[0]);
    }
    if (ctx.target !== "openapi-3.0") {
      for (const entry of ctx.seen.entries()) {
        compactTypeUnion(entry[1].def ?? entry[1].schema);
      }
    }
    for (const rewrite of ctx.deferred) rewrite();
    if (ctx.intersections.length) {
      const carriers = /* @__PURE__ */ new Map();
      for (const seen of ctx.seen.values()) {
        for (const json of [
          seen.schema,
          seen.def
        ]) {
          const allOf = json?.allOf;
          if (!Array.isArray(allOf)) continue;
          const existing = carriers.get(allOf);
          if (existing) existing.push(json);
          else carriers.set(allOf, [
            json
          ]);
        }
      }
      for (const allOf of ctx.intersections) {
        for (const json of carriers.get(allOf) ?? []) foldIntersection(json);
      }
    }
  }
  const result = {};
  if (ctx.target === "draft-2020-12") {
    result.$schema = "https://json-schema.org/draft/2020-12/schema";
  } else if (ctx.target === "draft-07") {
    result.$schema = "http://json-schema.org/draft-07/schema#";
  } else if (ctx.target === "draft-04") {
    result.$schema = "http://json-schema.org/draft-04/schema#";
  } else if (ctx.target === "openapi-3.0") {
  } else {
  }
  if (ctx.external?.uri) {
    const id = ctx.external.registry.get(schema)?.id;
    if (!id) throw new Error("Schema is missing an `id` property");
    result.$id = ctx.external.uri(id);
  }
  assignProps(result, root.defId ? root.schema : root.def ?? root.schema);
  const rootMetaId = ctx.metadataRegistry.get(schema)?.id;
  if (rootMetaId !== void 0 && result.id === rootMetaId) delete result.id;
  const defs = ctx.external?.defs ?? {};
  if (!ctx.external || ctx.sharedEmitDoneFor !== ctx.external) {
    for (const entry of ctx.seen.entries()) {
      const seen = entry[1];
      if (seen.def && seen.defId) {
        if (seen.def.id === seen.defId) delete seen.def.id;
        assignProp(defs, seen.defId, seen.def);
      }
    }
  }
  if (ctx.external) ctx.sharedEmitDoneFor = ctx.external;
  if (ctx.external) {
  } else {
    if (Object.keys(defs).length > 0) {
      if (ctx.target === "draft-2020-12") {
        result.$defs = defs;
      } else {
        result.definitions = defs;
      }
    }
  }
  try {
    const finalized = JSON.parse(JSON.stringify(result));
    Object.defineProperty(finalized, "~standard", {
      value: {
        ...schema["~standard"],
        jsonSchema: {
          input: createStandardJSONSchemaMethod(schema, "input", ctx.processors),
          output: createStandardJSONSchemaMethod(schema, "output", ctx.processors)
        }
      },
      enumerable: false,
      writable: false
    });
    return finalized;
  } catch (_err) {
    throw new Error("Error converting schema to JSON.");
  }
}
function isTransforming(_schema, _ctx) {
  const ctx = _ctx ?? {
    seen: /* @__PURE__ */ new Set()
  };
  if (ctx.seen.has(_schema)) return false;
  ctx.seen.add(_schema);
  const def = _schema._zod.def;
  if (def.type === "transform") return true;
  if (def.type === "array") return isTransforming(def.element, ctx);
  if (def.type === "set") return isTransforming(def.valueType, ctx);
  if (def.type === "lazy") return isTransforming(def.getter(), ctx);
  if (def.type === "promise" || def.type === "optional" || def.type === "nonoptional" || def.type === "nullable" || def.type === "readonly" || def.type === "default" || def.type === "prefault" || def.type === "catch") {
    return isTransforming(def.innerType, ctx);
  }
  if (def.type === "intersection") {
    return isTransforming(def.left, ctx) || isTransforming(def.right, ctx);
  }
  if (def.type === "record" || def.type === "map") {
    return isTransforming(def.keyType, ctx) || isTransforming(def.valueType, ctx);
  }
  if (def.type === "pipe") {
    if (_schema._zod.traits.has("$ZodCodec")) return true;
    return isTransforming(def.in, ctx) || isTransforming(def.out, ctx);
  }
  if (def.type === "object") {
    for (const key in def.shape) {
      if (isTransforming(def.shape[key], ctx)) return true;
    }
    return false;
  }
  if (def.type === "union") {
    for (const option of def.options) {
      if (isTransforming(option, ctx)) return true;
    }
    return false;
  }
  if (def.type === "tuple") {
    for (const item of def.items) {
      if (isTransforming(item, ctx)) return true;
    }
    if (def.rest && isTransforming(def.rest, ctx)) return true;
    return false;
  }
  return false;
}
var createToJSONSchemaMethod = (schema, processors = {}) => (params) => {
  const ctx = initializeContext({
    ...params,
    processors
  });
  processSchema(schema, ctx);
  extractDefs(ctx, schema);
  return finalize(ctx, schema);
};
var createStandardJSONSchemaMethod = (schema, io, processors = {}) => (params) => {
  const { libraryOptions, target } = params ?? {};
  const ctx = initializeContext({
    ...libraryOptions ?? {},
    target,
    io,
    processors
  });
  processSchema(schema, ctx);
  extractDefs(ctx, schema);
  return finalize(ctx, schema);
};

var narrowMin = (agg, key, value) => {
  if (agg[key] === void 0 || value > agg[key]) agg[key] = value;
};
var narrowMax = (agg, key, value) => {
  if (agg[key] === void 0 || value < agg[key]) agg[key] = value;
};
var narrowBoth = (agg, value) => {
  narrowMin(agg, "minimum", value);
  narrowMax(agg, "maximum", value);
};
var addDivisor = (agg, value) => {
  agg.multipleOf ?? (agg.multipleOf = []);
  if (!agg.multipleOf.includes(value)) agg.multipleOf.push(value);
};
var addPattern = (agg, pattern) => {
  agg.patterns ?? (agg.patterns = /* @__PURE__ */ new Set());
  agg.patterns.add(pattern);
};
var intersectMime = (agg, mime) => {
  agg.mime = agg.mime ? agg.mime.filter((m) => mime.includes(m)) : [
    ...mime
  ];
};
var setFormat = (agg, format) => {
  agg.format = format;
  if (format.includes("int")) agg.isInt = true;
};
var minContributor = (agg, def) => narrowMin(agg, "minimum", def.minimum);
var maxContributor = (agg, def) => narrowMax(agg, "maximum", def.maximum);
var formatContributor = (ranges) => (agg, def) => {
  setFormat(agg, def.format);
  const [minimum, maximum] = ranges[def.format];
  narrowMin(agg, "minimum", minimum);
  narrowMax(agg, "maximum", maximum);
};
var contributors = {
  greater_than: (agg, def) => narrowMin(agg, def.inclusive ? "minimum" : "exclusiveMinimum", def.value),
  less_than: (agg, def) => narrowMax(agg, def.inclusive ? "maximum" : "exclusiveMaximum", def.value),
  multiple_of: (agg, def) => addDivisor(agg, def.value),
  number_format: formatContributor(NUMBER_FORMAT_RANGES),
  bigint_format: formatContributor(BIGINT_FORMAT_RANGES),
  min_length: minContributor,
  max_length: maxContributor,
  length_equals: (agg, def) => narrowBoth(agg, def.length),
  min_size: minContributor,
  max_size: maxContributor,
  size_equals: (agg, def) => narrowBoth(agg, def.size),
  string_format: (agg, def) => {
    setFormat(agg, def.format);
    if (def.pattern) addPattern(agg, def.pattern);
    if (def.format === "base64" || def.format === "base64url") agg.contentEncoding = def.format;
    if (def.local || def.precision === -1) agg.laxFormat = true;
  },
  mime_type: (agg, def) => intersectMime(agg, def.mime)
};
function aggregateChecks(schema) {
  const agg = {};
  const def = schema._zod.def;
  const list = schema._zod.traits.has("$ZodCheck") ? [
    schema,
    ...def.checks ?? []
  ] : def.checks ?? [];
  for (const ch of list) contributors[ch._zod.def.check]?.(agg, ch._zod.def);
  const bag = schema._zod.bag;
  if (bag.minimum !== void 0) narrowMin(agg, "minimum", bag.minimum);
  if (bag.exclusiveMinimum !== void 0) narrowMin(agg, "exclusiveMinimum", bag.exclusiveMinimum);
  if (bag.maximum !== void 0) narrowMax(agg, "maximum", bag.maximum);
  if (bag.exclusiveMaximum !== void 0) narrowMax(agg, "exclusiveMaximum", bag.exclusiveMaximum);
  if (bag.multipleOf !== void 0) addDivisor(agg, bag.multipleOf);
  if (bag.format !== void 0) {
    agg.format ?? (agg.format = bag.format);
    if (bag.format.includes("int")) agg.isInt = true;
  }
  if (bag.mime) intersectMime(agg, bag.mime);
  for (const pattern of bag.patterns ?? []) addPattern(agg, pattern);
  return agg;
}
var formatMap = {
  guid: "uuid",
  url: "uri",
  datetime: "date-time",
  json_string: "json-string",
  regex: ""
};
var exactPatterns = /* @__PURE__ */ new Map([
  [
    base64Charset,
    base64
  ],
  [
    base64urlCharset,
    base64url
  ]
]);
var exactPattern = (p) => exactPatterns.get(p) ?? p;
var stringProcessor = (schema, ctx, _json, _params) => {
  const json = _json;
  json.type = "string";
  const { minimum, maximum, format, patterns, contentEncoding, laxFormat } = aggregateChecks(schema);
  if (typeof minimum === "number") json.minLength = minimum;
  if (typeof maximum === "number") json.maxLength = maximum;
  if (format) {
    json.format = formatMap[format] ?? format;
    if (json.format === "") delete json.format;
    if (format === "time" || laxFormat) {
      delete json.format;
    }
  }
  if (contentEncoding) json.contentEncoding = contentEncoding;
  if (patterns && patterns.size > 0) {
    const patternList = [
      ...patterns
    ].map(exactPattern);
    if (patternList.length === 1) json.pattern = patternList[0].source;
    else if (patternList.length > 1) {
      json.allOf = [
        ...patternList.map((regex) => ({
          ...ctx.target === "draft-07" || ctx.target === "draft-04" || ctx.target === "openapi-3.0" ? {
            type: "string"
          } : {},
          pattern: regex.source
        }))
      ];
    }
  }
};
var numberProcessor = (schema, ctx, _json, params) => {
  const json = _json;
  const { minimum, maximum, multipleOf, exclusiveMaximum, exclusiveMinimum, isInt } = aggregateChecks(schema);
  json.type = isInt ? "integer" : "number";
  const exMin = typeof exclusiveMinimum === "number" && exclusiveMinimum >= (minimum ?? Number.NEGATIVE_INFINITY);
  const exMax = typeof exclusiveMaximum === "number" && exclusiveMaximum <= (maximum ?? Number.POSITIVE_INFINITY);
  const legacy = ctx.target === "draft-04" || ctx.target === "openapi-3.0";
  if (exMin) {
    if (legacy) {
      json.minimum = exclusiveMinimum;
      json.exclusiveMinimum = true;
    } else {
      json.exclusiveMinimum = exclusiveMinimum;
    }
  } else if (typeof minimum === "number") {
    json.minimum = minimum;
  }
  if (exMax) {
    if (legacy) {
      json.maximum = exclusiveMaximum;
      json.exclusiveMaximum = true;
    } else {
      json.exclusiveMaximum = exclusiveMaximum;
    }
  } else if (typeof maximum === "number") {
    json.maximum = maximum;
  }
  if (multipleOf) {
    const divisors = /* @__PURE__ */ new Set();
    for (const divisor of multipleOf) {
      if (Number.isFinite(divisor) && divisor !== 0) divisors.add(Math.abs(divisor));
      else handleUnrepresentable(schema, ctx, json, params, `A multipleOf divisor of ${divisor} cannot be represented in JSON Schema`);
    }
    const [first, ...rest] = divisors;
    if (first !== void 0) json.multipleOf = first;
    if (rest.length) json.allOf = [
      ...json.allOf ?? [],
      ...rest.map((m) => ({
        multipleOf: m
      }))
    ];
  }
};
var booleanProcessor = (_schema, _ctx, json, _params) => {
  json.type = "boolean";
};
var neverProcessor = (_schema, _ctx, json, _params) => {
  json.not = {};
};
var unknownProcessor = (_schema, _ctx, _json, _params) => {
};
var enumProcessor = (schema, _ctx, json, _params) => {
  const def = schema._zod.def;
  const values = getEnumValues(def.entries);
  if (values.length === 0) {
    json.not = {};
    return;
  }
  if (values.every((v) => typeof v === "number")) json.type = "number";
  if (values.every((v) => typeof v === "string")) json.type = "string";
  json.enum = values;
};
var literalProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  if (def.values.length === 0) {
    json.not = {};
    return;
  }
  const vals = [];
  for (const val of def.values) {
    if (val === void 0) {
      if (handleUnrepresentable(schema, ctx, json, params, "Literal `undefined` cannot be represented in JSON Schema")) return;
    } else if (typeof val === "bigint") {
      if (handleUnrepresentable(schema, ctx, json, params, "BigInt literals cannot be represented in JSON Schema")) return;
      vals.push(Number(val));
    } else {
      vals.push(val);
    }
  }
  if (vals.length === 0) {
  } else if (vals.length === 1) {
    const val = vals[0];
    json.type = val === null ? "null" : typeof val;
    if (ctx.target === "draft-04" || ctx.target === "openapi-3.0") {
      json.enum = [
        val
      ];
    } else {
      json.const = val;
    }
  } else {
    if (vals.every((v) => typeof v === "number")) json.type = "number";
    if (vals.every((v) => typeof v === "string")) json.type = "string";
    if (vals.every((v) => typeof v === "boolean")) json.type = "boolean";
    if (vals.every((v) => v === null)) json.type = "null";
    json.enum = vals;
  }
};
var customProcessor = (schema, ctx, json, params) => {
  handleUnrepresentable(schema, ctx, json, params, "Custom types cannot be represented in JSON Schema");
};
var transformProcessor = (schema, ctx, json, params) => {
  handleUnrepresentable(schema, ctx, json, params, "Transforms cannot be represented in JSON Schema");
};
var arrayProcessor = (schema, ctx, _json, params) => {
  const json = _json;
  const def = schema._zod.def;
  const { minimum, maximum } = aggregateChecks(schema);
  if (typeof minimum === "number") json.minItems = minimum;
  if (typeof maximum === "number") json.maxItems = maximum;
  json.type = "array";
  json.items = processSchema(def.element, ctx, {
    ...params,
    path: [
      ...params.path,
      "items"
    ]
  });
};
function inputOptin(schema) {
  const def = schema._zod.def;
  if (def.type === "pipe" && def.in._zod.traits.has("$ZodTransform")) {
    return inputOptin(def.out);
  }
  if (def.type === "catch") {
    return inputOptin(def.innerType);
  }
  return schema._zod.optin;
}
var objectProcessor = (schema, ctx, _json, params) => {
  const json = _json;
  const def = schema._zod.def;
  const shape = def.shape;
  const symbolKeys = Object.getOwnPropertySymbols(shape);
  if (symbolKeys.length && handleUnrepresentable(schema, ctx, json, params, "Symbol keys cannot be represented in JSON Schema")) {
    return;
  }
  json.type = "object";
  json.properties = {};
  for (const key in shape) {
    assignProp(json.properties, key, processSchema(shape[key], ctx, {
      ...params,
      path: [
        ...params.path,
        "properties",
        key
      ]
    }));
  }
  const requiredKeys = [];
  for (const key of Object.keys(shape)) {
    const field = def.shape[key];
    if (ctx.io === "input" ? inputOptin(field) === void 0 : field._zod.optout === void 0) {
      requiredKeys.push(key);
    }
  }
  if (requiredKeys.length > 0) {
    json.required = requiredKeys;
  }
  if (def.catchall?._zod.def.type === "never") {
    json.additionalProperties = false;
  } else if (!def.catchall) {
    if (ctx.io === "output") json.additionalProperties = false;
  } else if (def.catchall) {
    json.additionalProperties = processSchema(def.catchall, ctx, {
      ...params,
      path: [
        ...params.path,
        "additionalProperties"
      ]
    });
  }
};
var unionProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  const isExclusive = def.inclusive === false;
  const options = def.options.map((x, i) => processSchema(x, ctx, {
    ...params,
    path: [
      ...params.path,
      isExclusive ? "oneOf" : "anyOf",
      i
    ]
  }));
  if (isExclusive) {
    json.oneOf = options;
  } else {
    json.anyOf = options;
  }
};
var intersectionProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  const a = processSchema(def.left, ctx, {
    ...params,
    path: [
      ...params.path,
      "allOf",
      0
    ]
  });
  const b = processSchema(def.right, ctx, {
    ...params,
    path: [
      ...params.path,
      "allOf",
      1
    ]
  });
  const isSimpleIntersection = (val) => "allOf" in val && Object.keys(val).length === 1;
  const allOf = [
    ...isSimpleIntersection(a) ? a.allOf : [
      a
    ],
    ...isSimpleIntersection(b) ? b.allOf : [
      b
    ]
  ];
  json.allOf = allOf;
  ctx.intersections.push(allOf);
};
var tupleProcessor = (schema, ctx, _json, params) => {
  const json = _json;
  const def = schema._zod.def;
  json.type = "array";
  const prefixPath = ctx.target === "draft-2020-12" ? "prefixItems" : "items";
  const restPath = ctx.target === "draft-2020-12" ? "items" : ctx.target === "openapi-3.0" ? "items" : "additionalItems";
  const prefixItems = def.items.map((x, i) => processSchema(x, ctx, {
    ...params,
    path: [
      ...params.path,
      prefixPath,
      i
    ]
  }));
  const rest = def.rest ? processSchema(def.rest, ctx, {
    ...params,
    path: [
      ...params.path,
      restPath,
      ...ctx.target === "openapi-3.0" ? [
        def.items.length
      ] : []
    ]
  }) : null;
  let minItems = def.items.length;
  while (minItems > 0) {
    const item = def.items[minItems - 1];
    const optional2 = ctx.io === "input" ? inputOptin(item) !== void 0 : item._zod.optout === "optional";
    if (!optional2) break;
    minItems--;
  }
  const maxItems = def.items.length;
  const isClosed = !def.rest;
  if (ctx.target === "draft-2020-12") {
    json.prefixItems = prefixItems;
    if (isClosed) {
      json.items = false;
    } else if (rest) {
      json.items = rest;
    }
    if (minItems > 0) json.minItems = minItems;
    if (isClosed) json.maxItems = maxItems;
  } else if (ctx.target === "openapi-3.0") {
    json.items = {
      anyOf: prefixItems
    };
    if (rest) {
      json.items.anyOf.push(rest);
    }
    if (minItems > 0) json.minItems = minItems;
    if (isClosed) json.maxItems = maxItems;
  } else {
    json.items = prefixItems;
    if (isClosed) {
      json.additionalItems = false;
    } else if (rest) {
      json.additionalItems = rest;
    }
    if (minItems > 0) json.minItems = minItems;
    if (isClosed) json.maxItems = maxItems;
  }
  const { minimum, maximum } = aggregateChecks(schema);
  if (typeof minimum === "number") json.minItems = minimum;
  if (typeof maximum === "number") json.maxItems = maximum;
};
var nullableProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  const inner = processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  if (ctx.target === "openapi-3.0") {
    seen.ref = def.innerType;
    json.nullable = true;
  } else {
    json.anyOf = [
      inner,
      {
        type: "null"
      }
    ];
  }
};
var nonoptionalProcessor = (schema, ctx, _json, params) => {
  const def = schema._zod.def;
  processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = def.innerType;
};
var UNREPRESENTABLE_DEFAULT = Symbol();
function serializeDefaultValue(value, schema, ctx, json, params) {
  let unrepresentable = false;
  const serialized = JSON.stringify(value, (_, val) => {
    if (typeof val !== "bigint") return val;
    unrepresentable = true;
    return null;
  });
  if (!unrepresentable) return JSON.parse(serialized);
  handleUnrepresentable(schema, ctx, json, params, "BigInt defaults cannot be represented in JSON Schema");
  return UNREPRESENTABLE_DEFAULT;
}
var defaultProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = def.innerType;
  const value = serializeDefaultValue(def.defaultValue, schema, ctx, json, params);
  if (value !== UNREPRESENTABLE_DEFAULT) json.default = value;
};
var prefaultProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = def.innerType;
  if (ctx.io !== "input") return;
  const value = serializeDefaultValue(def.defaultValue, schema, ctx, json, params);
  if (value !== UNREPRESENTABLE_DEFAULT) json._prefault = value;
};
var catchProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = def.innerType;
  let catchValue;
  try {
    catchValue = def.catchValue(void 0);
  } catch {
    handleUnrepresentable(schema, ctx, json, params, "Dynamic catch values are not supported in JSON Schema");
    return;
  }
  json.default = catchValue;
};
var pipeProcessor = (schema, ctx, _json, params) => {
  const def = schema._zod.def;
  const inIsTransform = def.in._zod.traits.has("$ZodTransform");
  const innerType = ctx.io === "input" ? inIsTransform ? def.out : def.in : def.out;
  processSchema(innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = innerType;
};
var readonlyProcessor = (schema, ctx, json, params) => {
  const def = schema._zod.def;
  processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = def.innerType;
  json.readOnly = true;
};
var optionalProcessor = (schema, ctx, _json, params) => {
  const def = schema._zod.def;
  processSchema(def.innerType, ctx, params);
  const seen = ctx.seen.get(schema);
  seen.ref = def.innerType;
};

var _installedErrorProtos = /* @__PURE__ */ new WeakSet([
  Object.prototype,
  Error.prototype
]);
function _lazyMethod(proto, key, make) {
  Object.defineProperty(proto, key, {
    configurable: true,
    enumerable: false,
    get() {
      const value = make(this);
      Object.defineProperty(this, key, {
        value,
        configurable: true,
        writable: true
      });
      return value;
    },
    set(value) {
      Object.defineProperty(this, key, {
        value,
        configurable: true,
        writable: true
      });
    }
  });
}
var initializer2 = (inst, issues) => {
  $ZodError.init(inst, issues);
  inst.name = "ZodError";
  const proto = Object.getPrototypeOf(inst);
  if (_installedErrorProtos.has(proto)) return;
  _installedErrorProtos.add(proto);
  _lazyMethod(proto, "format", (self) => (mapper) => formatError(self, mapper));
  _lazyMethod(proto, "flatten", (self) => (mapper) => flattenError(self, mapper));
  _lazyMethod(proto, "addIssue", (self) => (issue2) => {
    self.issues.push(issue2);
    self.message = JSON.stringify(self.issues, jsonStringifyReplacer, 2);
  });
  _lazyMethod(proto, "addIssues", (self) => (issues2) => {
    self.issues.push(...issues2);
    self.message = JSON.stringify(self.issues, jsonStringifyReplacer, 2);
  });
  Object.defineProperty(proto, "isEmpty", {
    configurable: true,
    enumerable: false,
    get() {
      return this.issues.length === 0;
    }
  });
};
var ZodRealError = /* @__PURE__ */ $constructor("ZodError", initializer2, void 0, {
  Parent: Error
});

var parse = /* @__PURE__ */ _parse(ZodRealError);
var parseAsync = /* @__PURE__ */ _parseAsync(ZodRealError);
var safeParse = /* @__PURE__ */ _safeParse(ZodRealError);
var safeParseAsync = /* @__PURE__ */ _safeParseAsync(ZodRealError);
var encode = /* @__PURE__ */ _encode(ZodRealError);
var decode = /* @__PURE__ */ _decode(ZodRealError);
var encodeAsync = /* @__PURE__ */ _encodeAsync(ZodRealError);
var decodeAsync = /* @__PURE__ */ _decodeAsync(ZodRealError);
var safeEncode = /* @__PURE__ */ _safeEncode(ZodRealError);
var safeDecode = /* @__PURE__ */ _safeDecode(ZodRealError);
var safeEncodeAsync = /* @__PURE__ */ _safeEncodeAsync(ZodRealError);
var safeDecodeAsync = /* @__PURE__ */ _safeDecodeAsync(ZodRealError);

function _ensureDefaultLocale() {
  if (!globalConfig.localeError) config(en_default());
}
function _ensureDefaultMemoizer() {
  if (!globalConfig.memoizer) config({
    memoizer: memoizer()
  });
}
var ZodType = /* @__PURE__ */ $constructor("ZodType", (inst, def) => {
  _ensureDefaultLocale();
  $ZodType.init(inst, def);
  inst.def = def;
  inst.type = def.type;
  return inst;
}, {
  check(...chks) {
    const def = this.def;
    return this.clone(util_exports.mergeDefs(def, {
      checks: [
        ...def.checks ?? [],
        ...chks.map((ch) => typeof ch === "function" ? {
          _zod: {
            check: ch,
            def: {
              check: "custom"
            },
            onattach: []
          }
        } : ch)
      ]
    }), {
      parent: true
    });
  },
  with(...chks) {
    return this.check(...chks);
  },
  clone(def, params) {
    return clone(this, def, params);
  },
  brand() {
    return this;
  },
  register(reg, meta2) {
    reg.add(this, meta2);
    return this;
  },
  refine(check, params) {
    return this.check(refine(check, params));
  },
  superRefine(refinement, params) {
    return this.check(superRefine(refinement, params));
  },
  overwrite(fn) {
    return this.check(_overwrite(fn));
  },
  optional() {
    return optional(this);
  },
  exactOptional() {
    return exactOptional(this);
  },
  nullable() {
    return nullable(this);
  },
  nullish() {
    return optional(nullable(this));
  },
  nonoptional(params) {
    return nonoptional(this, params);
  },
  array() {
    return array(this);
  },
  or(arg) {
    return union([
      this,
      arg
    ]);
  },
  and(arg) {
    return intersection(this, arg);
  },
  transform(tx) {
    return pipe(this, transform(tx));
  },
  default(d) {
    return _default(this, d);
  },
  prefault(d) {
    return prefault(this, d);
  },
  catch(params) {
    return _catch(this, params);
  },
  pipe(target) {
    return pipe(this, target);
  },
  readonly() {
    return readonly(this);
  },
  describe(description) {
    const cl = this.clone();
    globalRegistry.add(cl, {
      description
    });
    return cl;
  },
  meta(...args) {
    if (args.length === 0) return globalRegistry.get(this);
    const cl = this.clone();
    globalRegistry.add(cl, args[0]);
    return cl;
  },
  isOptional() {
    return this.safeParse(void 0).success;
  },
  isNullable() {
    return this.safeParse(null).success;
  },
  apply(fn, ...args) {
    return args.length === 0 ? fn(this) : fn(this, ...args);
  },
  // Overrides core's `~standard` to add `jsonSchema`. Must stay a prototype entry: redefining it per instance demotes instances to dictionary mode.
  get "~standard"() {
    return util_exports.hide(this, "~standard", {
      ...standardProps(this),
      jsonSchema: {
        input: createStandardJSONSchemaMethod(this, "input"),
        output: createStandardJSONSchemaMethod(this, "output")
      }
    });
  },
  set "~standard"(value) {
    util_exports.own(this, "~standard", value);
  },
  parse: function _parse2(data, params) {
    return parse(this, data, params, {
      callee: _parse2
    });
  },
  parseAsync: async function _parseAsync2(data, params) {
    return await parseAsync(this, data, params, {
      callee: _parseAsync2
    });
  },
  safeParse(data, params) {
    return safeParse(this, data, params);
  },
  async safeParseAsync(data, params) {
    return safeParseAsync(this, data, params);
  },
  // `spa` is an alias: same function object as `safeParseAsync`, as before.
  get spa() {
    return this?.safeParseAsync;
  },
  set spa(value) {
    util_exports.own(this, "spa", value);
  },
  validate(data, params) {
    return validate(this, data, params);
  },
  validateAsync(data, params) {
    return validateAsync(this, data, params);
  },
  encode: function _encode2(data, params) {
    return encode(this, data, params, {
      callee: _encode2
    });
  },
  decode: function _decode2(data, params) {
    return decode(this, data, params, {
      callee: _decode2
    });
  },
  encodeAsync: async function _encodeAsync2(data, params) {
    return await encodeAsync(this, data, params, {
      callee: _encodeAsync2
    });
  },
  decodeAsync: async function _decodeAsync2(data, params) {
    return await decodeAsync(this, data, params, {
      callee: _decodeAsync2
    });
  },
  safeEncode(data, params) {
    return safeEncode(this, data, params);
  },
  safeDecode(data, params) {
    return safeDecode(this, data, params);
  },
  async safeEncodeAsync(data, params) {
    return safeEncodeAsync(this, data, params);
  },
  async safeDecodeAsync(data, params) {
    return safeDecodeAsync(this, data, params);
  },
  toJSONSchema(params) {
    return createToJSONSchemaMethod(this, {})(params);
  },
  // Reads through to the registry on every access, so it must not cache.
  get description() {
    return globalRegistry.get(this)?.description;
  },
  // No setter: `schema._def = x` throws, as it did when `_def` was a non-writable own property.
  get _def() {
    return this._zod.def;
  }
});
var _ZodString = /* @__PURE__ */ $constructor("_ZodString", (inst, def) => {
  $ZodString.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => stringProcessor(inst, ctx, json, params);
}, /* @__PURE__ */ util_exports.derived({
  format: (inst) => aggregateChecks(inst).format ?? null,
  minLength: (inst) => aggregateChecks(inst).minimum ?? null,
  maxLength: (inst) => aggregateChecks(inst).maximum ?? null
}, {
  regex(...args) {
    return this.check(_regex(...args));
  },
  includes(...args) {
    return this.check(_includes(...args));
  },
  startsWith(...args) {
    return this.check(_startsWith(...args));
  },
  endsWith(...args) {
    return this.check(_endsWith(...args));
  },
  min(...args) {
    return this.check(_minLength(...args));
  },
  max(...args) {
    return this.check(_maxLength(...args));
  },
  length(...args) {
    return this.check(_length(...args));
  },
  nonempty(...args) {
    return this.check(_minLength(1, ...args));
  },
  lowercase(params) {
    return this.check(_lowercase(params));
  },
  uppercase(params) {
    return this.check(_uppercase(params));
  },
  trim() {
    return this.check(_trim());
  },
  normalize(...args) {
    return this.check(_normalize(...args));
  },
  toLowerCase() {
    return this.check(_toLowerCase());
  },
  toUpperCase() {
    return this.check(_toUpperCase());
  },
  slugify() {
    return this.check(_slugify());
  }
}));
var ZodString = /* @__PURE__ */ $constructor("ZodString", (inst, def) => {
  $ZodString.init(inst, def);
  _ZodString.init(inst, def);
}, {
  email(params) {
    return this.check(_email(ZodEmail, params));
  },
  url(params) {
    return this.check(_url(ZodURL, params));
  },
  jwt(params) {
    return this.check(_jwt(ZodJWT, params));
  },
  emoji(params) {
    return this.check(_emoji2(ZodEmoji, params));
  },
  guid(params) {
    return this.check(_guid(ZodGUID, params));
  },
  uuid(params) {
    return this.check(_uuid(ZodUUID, params));
  },
  uuidv4(params) {
    return this.check(_uuidv4(ZodUUID, params));
  },
  uuidv6(params) {
    return this.check(_uuidv6(ZodUUID, params));
  },
  uuidv7(params) {
    return this.check(_uuidv7(ZodUUID, params));
  },
  nanoid(params) {
    return this.check(_nanoid(ZodNanoID, params));
  },
  cuid(params) {
    return this.check(_cuid(ZodCUID, params));
  },
  cuid2(params) {
    return this.check(_cuid2(ZodCUID2, params));
  },
  ulid(params) {
    return this.check(_ulid(ZodULID, params));
  },
  base64(params) {
    return this.check(_base64(ZodBase64, params));
  },
  base64url(params) {
    return this.check(_base64url(ZodBase64URL, params));
  },
  xid(params) {
    return this.check(_xid(ZodXID, params));
  },
  ksuid(params) {
    return this.check(_ksuid(ZodKSUID, params));
  },
  ipv4(params) {
    return this.check(_ipv4(ZodIPv4, params));
  },
  ipv6(params) {
    return this.check(_ipv6(ZodIPv6, params));
  },
  cidrv4(params) {
    return this.check(_cidrv4(ZodCIDRv4, params));
  },
  cidrv6(params) {
    return this.check(_cidrv6(ZodCIDRv6, params));
  },
  e164(params) {
    return this.check(_e164(ZodE164, params));
  },
  datetime(params) {
    return this.check(_isoDateTime(ZodISODateTime, params));
  },
  date(params) {
    return this.check(_isoDate(ZodISODate, params));
  },
  time(params) {
    return this.check(_isoTime(ZodISOTime, params));
  },
  duration(params) {
    return this.check(_isoDuration(ZodISODuration, params));
  }
});
function string2(params) {
  return _string(ZodString, params);
}
var ZodStringFormat = /* @__PURE__ */ $constructor("ZodStringFormat", (inst, def) => {
  $ZodStringFormat.init(inst, def);
  _ZodString.init(inst, def);
});
var ZodISODateTime = /* @__PURE__ */ $constructor("ZodISODateTime", (inst, def) => {
  $ZodISODateTime.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodISODate = /* @__PURE__ */ $constructor("ZodISODate", (inst, def) => {
  $ZodISODate.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodISOTime = /* @__PURE__ */ $constructor("ZodISOTime", (inst, def) => {
  $ZodISOTime.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodISODuration = /* @__PURE__ */ $constructor("ZodISODuration", (inst, def) => {
  $ZodISODuration.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodEmail = /* @__PURE__ */ $constructor("ZodEmail", (inst, def) => {
  $ZodEmail.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodGUID = /* @__PURE__ */ $constructor("ZodGUID", (inst, def) => {
  $ZodGUID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodUUID = /* @__PURE__ */ $constructor("ZodUUID", (inst, def) => {
  $ZodUUID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodURL = /* @__PURE__ */ $constructor("ZodURL", (inst, def) => {
  $ZodURL.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodEmoji = /* @__PURE__ */ $constructor("ZodEmoji", (inst, def) => {
  $ZodEmoji.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodNanoID = /* @__PURE__ */ $constructor("ZodNanoID", (inst, def) => {
  $ZodNanoID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodCUID = /* @__PURE__ */ $constructor("ZodCUID", (inst, def) => {
  $ZodCUID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodCUID2 = /* @__PURE__ */ $constructor("ZodCUID2", (inst, def) => {
  $ZodCUID2.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodULID = /* @__PURE__ */ $constructor("ZodULID", (inst, def) => {
  $ZodULID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodXID = /* @__PURE__ */ $constructor("ZodXID", (inst, def) => {
  $ZodXID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodKSUID = /* @__PURE__ */ $constructor("ZodKSUID", (inst, def) => {
  $ZodKSUID.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodIPv4 = /* @__PURE__ */ $constructor("ZodIPv4", (inst, def) => {
  $ZodIPv4.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodIPv6 = /* @__PURE__ */ $constructor("ZodIPv6", (inst, def) => {
  $ZodIPv6.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodCIDRv4 = /* @__PURE__ */ $constructor("ZodCIDRv4", (inst, def) => {
  $ZodCIDRv4.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodCIDRv6 = /* @__PURE__ */ $constructor("ZodCIDRv6", (inst, def) => {
  $ZodCIDRv6.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodBase64 = /* @__PURE__ */ $constructor("ZodBase64", (inst, def) => {
  $ZodBase64.init(inst, def);
  ZodStringFormat.init(inst, def);
});
function base642(params) {
  return _base64(ZodBase64, params);
}
var ZodBase64URL = /* @__PURE__ */ $constructor("ZodBase64URL", (inst, def) => {
  $ZodBase64URL.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodE164 = /* @__PURE__ */ $constructor("ZodE164", (inst, def) => {
  $ZodE164.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodJWT = /* @__PURE__ */ $constructor("ZodJWT", (inst, def) => {
  $ZodJWT.init(inst, def);
  ZodStringFormat.init(inst, def);
});
var ZodNumber = /* @__PURE__ */ $constructor("ZodNumber", (inst, def) => {
  $ZodNumber.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => numberProcessor(inst, ctx, json, params);
  inst.isFinite = true;
}, /* @__PURE__ */ util_exports.derived({
  minValue: (inst) => {
    const { minimum, exclusiveMinimum } = aggregateChecks(inst);
    return Math.max(minimum ?? Number.NEGATIVE_INFINITY, exclusiveMinimum ?? Number.NEGATIVE_INFINITY);
  },
  maxValue: (inst) => {
    const { maximum, exclusiveMaximum } = aggregateChecks(inst);
    return Math.min(maximum ?? Number.POSITIVE_INFINITY, exclusiveMaximum ?? Number.POSITIVE_INFINITY);
  },
  isInt: (inst) => {
    const { isInt, multipleOf } = aggregateChecks(inst);
    return !!isInt || !!multipleOf?.some(Number.isSafeInteger);
  },
  format: (inst) => aggregateChecks(inst).format ?? null
}, {
  gt(value, params) {
    return this.check(_gt(value, params));
  },
  gte(value, params) {
    return this.check(_gte(value, params));
  },
  min(value, params) {
    return this.check(_gte(value, params));
  },
  lt(value, params) {
    return this.check(_lt(value, params));
  },
  lte(value, params) {
    return this.check(_lte(value, params));
  },
  max(value, params) {
    return this.check(_lte(value, params));
  },
  int(params) {
    return this.check(int(params));
  },
  safe(params) {
    return this.check(int(params));
  },
  positive(params) {
    return this.check(_gt(0, params));
  },
  nonnegative(params) {
    return this.check(_gte(0, params));
  },
  negative(params) {
    return this.check(_lt(0, params));
  },
  nonpositive(params) {
    return this.check(_lte(0, params));
  },
  multipleOf(value, params) {
    return this.check(_multipleOf(value, params));
  },
  step(value, params) {
    return this.check(_multipleOf(value, params));
  },
  finite() {
    return this;
  }
}));
function number2(params) {
  return _number(ZodNumber, params);
}
var ZodNumberFormat = /* @__PURE__ */ $constructor("ZodNumberFormat", (inst, def) => {
  $ZodNumberFormat.init(inst, def);
  ZodNumber.init(inst, def);
});
function int(params) {
  return _int(ZodNumberFormat, params);
}
var ZodBoolean = /* @__PURE__ */ $constructor("ZodBoolean", (inst, def) => {
  $ZodBoolean.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => booleanProcessor(inst, ctx, json, params);
});
function boolean2(params) {
  return _boolean(ZodBoolean, params);
}
var ZodUnknown = /* @__PURE__ */ $constructor("ZodUnknown", (inst, def) => {
  $ZodUnknown.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => unknownProcessor(inst, ctx, json, params);
});
function unknown() {
  return _unknown(ZodUnknown);
}
var ZodNever = /* @__PURE__ */ $constructor("ZodNever", (inst, def) => {
  $ZodNever.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => neverProcessor(inst, ctx, json, params);
});
function never(params) {
  return _never(ZodNever, params);
}
var ZodArray = /* @__PURE__ */ $constructor("ZodArray", (inst, def) => {
  _ensureDefaultMemoizer();
  $ZodArray.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => arrayProcessor(inst, ctx, json, params);
  inst.element = def.element;
}, {
  min(n, params) {
    return this.check(_minLength(n, params));
  },
  nonempty(params) {
    return this.check(_minLength(1, params));
  },
  max(n, params) {
    return this.check(_maxLength(n, params));
  },
  length(n, params) {
    return this.check(_length(n, params));
  },
  unwrap() {
    return this.element;
  }
});
function array(element, params) {
  return _array(ZodArray, element, params);
}
var ZodObject = /* @__PURE__ */ $constructor("ZodObject", (inst, def) => {
  _ensureDefaultMemoizer();
  $ZodObjectJIT.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => objectProcessor(inst, ctx, json, params);
  util_exports.installLazyProp(inst, "shape", (self) => self._zod.def.shape, false);
}, {
  keyof() {
    return _enum(Object.keys(this._zod.def.shape));
  },
  catchall(catchall) {
    return this.clone(util_exports.mergeDefs(this._zod.def, {
      catchall
    }));
  },
  passthrough() {
    return this.clone(util_exports.mergeDefs(this._zod.def, {
      catchall: unknown()
    }));
  },
  loose() {
    return this.clone(util_exports.mergeDefs(this._zod.def, {
      catchall: unknown()
    }));
  },
  strict() {
    return this.clone(util_exports.mergeDefs(this._zod.def, {
      catchall: never()
    }));
  },
  strip() {
    return this.clone(util_exports.mergeDefs(this._zod.def, {
      catchall: void 0
    }));
  },
  extend(incoming) {
    return util_exports.extend(this, incoming);
  },
  safeExtend(incoming) {
    return util_exports.safeExtend(this, incoming);
  },
  merge(other) {
    return util_exports.merge(this, other);
  },
  pick(mask) {
    return util_exports.pick(this, mask);
  },
  omit(mask) {
    return util_exports.omit(this, mask);
  },
  partial(...args) {
    return util_exports.partial(ZodOptional, this, args[0]);
  },
  exactPartial(...args) {
    return util_exports.partial(ZodExactOptional, this, args[0], "exactPartial");
  },
  required(...args) {
    return util_exports.required(ZodNonOptional, this, args[0]);
  }
});
function strictObject(shape, params) {
  return new ZodObject({
    type: "object",
    shape,
    catchall: never(),
    ...util_exports.normalizeParams(params)
  });
}
var ZodUnion = /* @__PURE__ */ $constructor("ZodUnion", (inst, def) => {
  $ZodUnion.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => unionProcessor(inst, ctx, json, params);
  inst.options = def.options;
});
function union(options, params) {
  return new ZodUnion({
    type: "union",
    options,
    ...util_exports.normalizeParams(params)
  });
}
var ZodDiscriminatedUnion = /* @__PURE__ */ $constructor("ZodDiscriminatedUnion", (inst, def) => {
  ZodUnion.init(inst, def);
  $ZodDiscriminatedUnion.init(inst, def);
});
function discriminatedUnion(discriminator, options, params) {
  return new ZodDiscriminatedUnion({
    type: "union",
    options,
    discriminator,
    ...util_exports.normalizeParams(params)
  });
}
var ZodIntersection = /* @__PURE__ */ $constructor("ZodIntersection", (inst, def) => {
  $ZodIntersection.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => intersectionProcessor(inst, ctx, json, params);
});
function intersection(left, right) {
  return new ZodIntersection({
    type: "intersection",
    left,
    right
  });
}
var ZodTuple = /* @__PURE__ */ $constructor("ZodTuple", (inst, def) => {
  _ensureDefaultMemoizer();
  $ZodTuple.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => tupleProcessor(inst, ctx, json, params);
}, {
  rest(rest) {
    return this.clone({
      ...this._zod.def,
      rest
    });
  },
  partial() {
    const def = this._zod.def;
    if (def.checks?.length) throw new Error(".partial() cannot be used on tuple schemas containing refinements");
    return this.clone({
      ...def,
      items: def.items.map((item) => new ZodOptional({
        type: "optional",
        innerType: item
      }))
    });
  }
});
function tuple(items, _paramsOrRest, _params) {
  const hasRest = _paramsOrRest instanceof $ZodType;
  const params = hasRest ? _params : _paramsOrRest;
  const rest = hasRest ? _paramsOrRest : null;
  return new ZodTuple({
    type: "tuple",
    items,
    rest,
    ...util_exports.normalizeParams(params)
  });
}
var ZodEnum = /* @__PURE__ */ $constructor("ZodEnum", (inst, def) => {
  $ZodEnum.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => enumProcessor(inst, ctx, json, params);
  inst.enum = def.entries;
  inst.options = [
    ...inst._zod.values
  ];
  const keys = new Set(Object.keys(def.entries));
  inst.extract = (values, params) => {
    const newEntries = {};
    for (const value of values) {
      if (keys.has(value)) {
        newEntries[value] = def.entries[value];
      } else throw new Error(`Key ${value} not found in enum`);
    }
    return new ZodEnum({
      ...def,
      checks: [],
      ...util_exports.normalizeParams(params),
      entries: newEntries
    });
  };
  inst.exclude = (values, params) => {
    const newEntries = {
      ...def.entries
    };
    for (const value of values) {
      if (keys.has(value)) {
        delete newEntries[value];
      } else throw new Error(`Key ${value} not found in enum`);
    }
    return new ZodEnum({
      ...def,
      checks: [],
      ...util_exports.normalizeParams(params),
      entries: newEntries
    });
  };
});
function _enum(values, params) {
  const entries2 = Array.isArray(values) ? Object.fromEntries(values.map((v) => [
    v,
    v
  ])) : values;
  return new ZodEnum({
    type: "enum",
    entries: entries2,
    ...util_exports.normalizeParams(params)
  });
}
var ZodLiteral = /* @__PURE__ */ $constructor("ZodLiteral", (inst, def) => {
  $ZodLiteral.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => literalProcessor(inst, ctx, json, params);
  inst.values = new Set(def.values);
  Object.defineProperty(inst, "value", {
    get() {
      if (def.values.length > 1) {
        throw new Error("This schema contains multiple valid literal values. Use `.values` instead.");
      }
      return def.values[0];
    }
  });
});
function literal(value, params) {
  return new ZodLiteral({
    type: "literal",
    values: Array.isArray(value) ? value : [
      value
    ],
    ...util_exports.normalizeParams(params)
  });
}
var ZodTransform = /* @__PURE__ */ $constructor("ZodTransform", (inst, def) => {
  _ensureDefaultMemoizer();
  $ZodTransform.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => transformProcessor(inst, ctx, json, params);
  inst._zod.parse = (payload, _ctx) => {
    if (_ctx.direction === "backward") {
      throw new $ZodEncodeError(inst.constructor.name);
    }
    payload.addIssue = (issue2) => {
      if (typeof issue2 === "string") {
        payload.issues.push(util_exports.issue(issue2, payload.value, def));
      } else {
        const _issue = issue2;
        if (_issue.fatal) _issue.continue = false;
        _issue.code ?? (_issue.code = "custom");
        if (!("input" in _issue)) _issue.input = payload.value;
        _issue.inst ?? (_issue.inst = inst);
        payload.issues.push(util_exports.issue(_issue));
      }
    };
    const output = def.transform(payload.value, payload);
    if (output instanceof Promise) {
      return output.then((output2) => {
        payload.value = output2;
        return payload;
      });
    }
    payload.value = output;
    return payload;
  };
});
function transform(fn) {
  return new ZodTransform({
    type: "transform",
    transform: fn
  });
}
var ZodOptional = /* @__PURE__ */ $constructor("ZodOptional", (inst, def) => {
  $ZodOptional.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => optionalProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
});
function optional(innerType) {
  return new ZodOptional({
    type: "optional",
    innerType
  });
}
var ZodExactOptional = /* @__PURE__ */ $constructor("ZodExactOptional", (inst, def) => {
  $ZodExactOptional.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => optionalProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
});
function exactOptional(innerType) {
  return new ZodExactOptional({
    type: "optional",
    innerType
  });
}
var ZodNullable = /* @__PURE__ */ $constructor("ZodNullable", (inst, def) => {
  $ZodNullable.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => nullableProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
});
function nullable(innerType) {
  return new ZodNullable({
    type: "nullable",
    innerType
  });
}
var ZodDefault = /* @__PURE__ */ $constructor("ZodDefault", (inst, def) => {
  $ZodDefault.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => defaultProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
  inst.removeDefault = inst.unwrap;
});
function _default(innerType, defaultValue) {
  return new ZodDefault({
    type: "default",
    innerType,
    get defaultValue() {
      return typeof defaultValue === "function" ? defaultValue() : util_exports.shallowClone(defaultValue);
    }
  });
}
var ZodPrefault = /* @__PURE__ */ $constructor("ZodPrefault", (inst, def) => {
  $ZodPrefault.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => prefaultProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
});
function prefault(innerType, defaultValue) {
  return new ZodPrefault({
    type: "prefault",
    innerType,
    get defaultValue() {
      return typeof defaultValue === "function" ? defaultValue() : util_exports.shallowClone(defaultValue);
    }
  });
}
var ZodNonOptional = /* @__PURE__ */ $constructor("ZodNonOptional", (inst, def) => {
  $ZodNonOptional.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => nonoptionalProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
});
function nonoptional(innerType, params) {
  return new ZodNonOptional({
    type: "nonoptional",
    innerType,
    ...util_exports.normalizeParams(params)
  });
}
var ZodCatch = /* @__PURE__ */ $constructor("ZodCatch", (inst, def) => {
  $ZodCatch.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => catchProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
  inst.removeCatch = inst.unwrap;
});
function _catch(innerType, catchValue) {
  return new ZodCatch({
    type: "catch",
    innerType,
    catchValue: typeof catchValue === "function" ? catchValue : util_exports.constantCatch(catchValue)
  });
}
var ZodPipe = /* @__PURE__ */ $constructor("ZodPipe", (inst, def) => {
  $ZodPipe.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => pipeProcessor(inst, ctx, json, params);
  inst.in = def.in;
  inst.out = def.out;
});
function pipe(in_, out) {
  return new ZodPipe({
    type: "pipe",
    in: in_,
    out
  });
}
var ZodReadonly = /* @__PURE__ */ $constructor("ZodReadonly", (inst, def) => {
  $ZodReadonly.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => readonlyProcessor(inst, ctx, json, params);
  inst.unwrap = () => inst._zod.def.innerType;
});
function readonly(innerType) {
  return new ZodReadonly({
    type: "readonly",
    innerType
  });
}
var ZodCustom = /* @__PURE__ */ $constructor("ZodCustom", (inst, def) => {
  $ZodCustom.init(inst, def);
  ZodType.init(inst, def);
  inst._zod.processJSONSchema = (ctx, json, params) => customProcessor(inst, ctx, json, params);
});
function refine(fn, _params = {}) {
  return _refine(ZodCustom, fn, _params);
}
function superRefine(fn, params) {
  return _superRefine(fn, params);
}

config({
  jitless: true
});

var ValueType = {
  I32: 127,
  I64: 126,
  F32: 125,
  F64: 124,
  FUNCREF: 112,
  EXTERNREF: 111
};
var VALUE_TYPE_NAMES = {
  [ValueType.I32]: "i32",
  [ValueType.I64]: "i64",
  [ValueType.F32]: "f32",
  [ValueType.F64]: "f64",
  [ValueType.FUNCREF]: "funcref",
  [ValueType.EXTERNREF]: "externref"
};
var NO_LIST = Object.freeze([]);
function instruction(op, a = 0, b = 0, long = 0n, list = NO_LIST) {
  return {
    op,
    a,
    b,
    long,
    list
  };
}
var PLAIN = /* @__PURE__ */ new Map();
function plain(op) {
  let found = PLAIN.get(op);
  if (found === void 0) {
    found = Object.freeze(instruction(op));
    PLAIN.set(op, found);
  }
  return found;
}
var NO_FACTS = {
  heights: new Uint32Array(),
  dead: new Uint8Array(),
  arities: new Uint16Array(),
  partners: new Uint32Array(),
  max_height: 0,
  control_count: 0,
  max_nesting: 0
};
var POLICY_LIMITS = {
  module_bytes: 1 << 20,
  body_bytes: 64 << 10,
  functions: 1e4,
  locals: 1024,
  parameters: 16,
  results: 16,
  nesting: 256,
  table_entries: 1e4
};
function importCounts(module) {
  const counts = {
    function: 0,
    table: 0,
    memory: 0,
    global: 0
  };
  for (const entry of module.imports) counts[entry.description.kind] += 1;
  return counts;
}

var Op = {
  UNREACHABLE: 0,
  NOP: 1,
  BLOCK: 2,
  LOOP: 3,
  IF: 4,
  ELSE: 5,
  END: 11,
  BR: 12,
  BR_IF: 13,
  BR_TABLE: 14,
  RETURN: 15,
  CALL: 16,
  CALL_INDIRECT: 17,
  DROP: 26,
  SELECT: 27,
  SELECT_TYPED: 28,
  LOCAL_GET: 32,
  LOCAL_SET: 33,
  LOCAL_TEE: 34,
  GLOBAL_GET: 35,
  GLOBAL_SET: 36,
  TABLE_GET: 37,
  TABLE_SET: 38,
  I32_LOAD: 40,
  I64_LOAD32_U: 53,
  I32_STORE: 54,
  I64_STORE32: 62,
  MEMORY_SIZE: 63,
  MEMORY_GROW: 64,
  I32_CONST: 65,
  I64_CONST: 66,
  F32_CONST: 67,
  F64_CONST: 68,
  I32_EQZ: 69,
  I32_EQ: 70,
  I32_NE: 71,
  I32_LT_S: 72,
  I32_LT_U: 73,
  I32_GT_S: 74,
  I32_GT_U: 75,
  I32_LE_S: 76,
  I32_LE_U: 77,
  I32_GE_S: 78,
  I32_GE_U: 79,
  I64_EQZ: 80,
  I64_EQ: 81,
  I64_NE: 82,
  I64_LT_S: 83,
  I64_LT_U: 84,
  I64_GT_S: 85,
  I64_GT_U: 86,
  I64_LE_S: 87,
  I64_LE_U: 88,
  I64_GE_S: 89,
  I64_GE_U: 90,
  I32_ADD: 106,
  I32_SUB: 107,
  I32_MUL: 108,
  I32_AND: 113,
  I32_OR: 114,
  I32_SHL: 116,
  I32_SHR_U: 118,
  I64_ADD: 124,
  I64_SUB: 125,
  I64_MUL: 126,
  I64_AND: 131,
  I64_OR: 132,
  I64_SHL: 134,
  I64_SHR_U: 136,
  I32_WRAP_I64: 167,
  I64_EXTEND_I32_S: 172,
  I64_EXTEND_I32_U: 173,
  REF_NULL: 208,
  REF_IS_NULL: 209,
  REF_FUNC: 210,
  MEMORY_INIT: 64520,
  DATA_DROP: 64521,
  MEMORY_COPY: 64522,
  MEMORY_FILL: 64523,
  TABLE_INIT: 64524,
  ELEM_DROP: 64525,
  TABLE_COPY: 64526,
  TABLE_GROW: 64527,
  TABLE_SIZE: 64528,
  TABLE_FILL: 64529
};
var PREFIX = 252;
var EMPTY_BLOCK = -64;
var TYPE_OF_LETTER = {
  i: ValueType.I32,
  I: ValueType.I64,
  f: ValueType.F32,
  F: ValueType.F64
};
var ENTRIES = /* @__PURE__ */ new Map();
function signatureOf(shape) {
  const [before, after] = shape.split(">");
  if (before === void 0 || after === void 0) return void 0;
  const types = (letters) => [
    ...letters
  ].map((letter) => {
    const type = TYPE_OF_LETTER[letter];
    if (type === void 0) throw new TypeError(`no value type ${letter}`);
    return type;
  });
  return {
    parameters: types(before),
    results: types(after)
  };
}
function add(op, name, immediate, shape = "", access = -1) {
  ENTRIES.set(op, {
    name,
    immediate,
    signature: signatureOf(shape),
    access
  });
}
function addRun(first, prefix, names, shape) {
  names.split(" ").forEach((name, at) => add(first + at, prefix + name, "none", shape));
}
function addControl() {
  add(Op.UNREACHABLE, "unreachable", "none");
  add(Op.NOP, "nop", "none", ">");
  add(Op.BLOCK, "block", "block");
  add(Op.LOOP, "loop", "block");
  add(Op.IF, "if", "block");
  add(Op.ELSE, "else", "none");
  add(Op.END, "end", "none");
  add(Op.BR, "br", "index");
  add(Op.BR_IF, "br_if", "index");
  add(Op.BR_TABLE, "br_table", "labels");
  add(Op.RETURN, "return", "none");
  add(Op.CALL, "call", "index");
  add(Op.CALL_INDIRECT, "call_indirect", "index2");
  add(Op.DROP, "drop", "none");
  add(Op.SELECT, "select", "none");
  add(Op.SELECT_TYPED, "select", "types");
  add(Op.REF_NULL, "ref.null", "reference-type");
  add(Op.REF_IS_NULL, "ref.is_null", "none");
  add(Op.REF_FUNC, "ref.func", "index");
}
function addVariablesAndTables() {
  const names = "local.get local.set local.tee global.get global.set table.get table.set";
  names.split(" ").forEach((name, at) => add(Op.LOCAL_GET + at, name, "index"));
  add(Op.TABLE_INIT, "table.init", "index2");
  add(Op.ELEM_DROP, "elem.drop", "index");
  add(Op.TABLE_COPY, "table.copy", "index2");
  add(Op.TABLE_GROW, "table.grow", "index");
  add(Op.TABLE_SIZE, "table.size", "index");
  add(Op.TABLE_FILL, "table.fill", "index");
}
var ACCESSES = `i32.load i>i 2;i64.load i>I 3;f32.load i>f 2;f64.load i>F 3;i32.load8_s i>i 0;
i32.load8_u i>i 0;i32.load16_s i>i 1;i32.load16_u i>i 1;i64.load8_s i>I 0;i64.load8_u i>I 0;
i64.load16_s i>I 1;i64.load16_u i>I 1;i64.load32_s i>I 2;i64.load32_u i>I 2;i32.store ii> 2;
i64.store iI> 3;f32.store if> 2;f64.store iF> 3;i32.store8 ii> 0;i32.store16 ii> 1;
i64.store8 iI> 0;i64.store16 iI> 1;i64.store32 iI> 2`;
function addMemory() {
  ACCESSES.split(/;\s*/).forEach((line, at) => {
    const [name = "", shape = "", access = ""] = line.split(" ");
    add(Op.I32_LOAD + at, name, "memory-access", shape, Number(access));
  });
  add(Op.MEMORY_SIZE, "memory.size", "zero", ">i");
  add(Op.MEMORY_GROW, "memory.grow", "zero", "i>i");
  add(Op.MEMORY_INIT, "memory.init", "index-zero", "iii>");
  add(Op.DATA_DROP, "data.drop", "index", ">");
  add(Op.MEMORY_COPY, "memory.copy", "zero2", "iii>");
  add(Op.MEMORY_FILL, "memory.fill", "zero", "iii>");
}
function addNumbers() {
  add(Op.I32_CONST, "i32.const", "i32", ">i");
  add(Op.I64_CONST, "i64.const", "i64", ">I");
  add(Op.F32_CONST, "f32.const", "f32", ">f");
  add(Op.F64_CONST, "f64.const", "f64", ">F");
  const integer_compare = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
  const float_compare = "eq ne lt gt le ge";
  const integer_unary = "clz ctz popcnt";
  const integer_binary = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr";
  const float_unary = "abs neg ceil floor trunc nearest sqrt";
  const float_binary = "add sub mul div min max copysign";
  addRun(69, "i32.", "eqz", "i>i");
  addRun(70, "i32.", integer_compare, "ii>i");
  addRun(80, "i64.", "eqz", "I>i");
  addRun(81, "i64.", integer_compare, "II>i");
  addRun(91, "f32.", float_compare, "ff>i");
  addRun(97, "f64.", float_compare, "FF>i");
  addRun(103, "i32.", integer_unary, "i>i");
  addRun(106, "i32.", integer_binary, "ii>i");
  addRun(121, "i64.", integer_unary, "I>I");
  addRun(124, "i64.", integer_binary, "II>I");
  addRun(139, "f32.", float_unary, "f>f");
  addRun(146, "f32.", float_binary, "ff>f");
  addRun(153, "f64.", float_unary, "F>F");
  addRun(160, "f64.", float_binary, "FF>F");
}
function addConversions() {
  addRun(167, "i32.", "wrap_i64", "I>i");
  addRun(168, "i32.", "trunc_f32_s trunc_f32_u", "f>i");
  addRun(170, "i32.", "trunc_f64_s trunc_f64_u", "F>i");
  addRun(172, "i64.", "extend_i32_s extend_i32_u", "i>I");
  addRun(174, "i64.", "trunc_f32_s trunc_f32_u", "f>I");
  addRun(176, "i64.", "trunc_f64_s trunc_f64_u", "F>I");
  addRun(178, "f32.", "convert_i32_s convert_i32_u", "i>f");
  addRun(180, "f32.", "convert_i64_s convert_i64_u", "I>f");
  addRun(182, "f32.", "demote_f64", "F>f");
  addRun(183, "f64.", "convert_i32_s convert_i32_u", "i>F");
  addRun(185, "f64.", "convert_i64_s convert_i64_u", "I>F");
  addRun(187, "f64.", "promote_f32", "f>F");
  addRun(188, "i32.", "reinterpret_f32", "f>i");
  addRun(189, "i64.", "reinterpret_f64", "F>I");
  addRun(190, "f32.", "reinterpret_i32", "i>f");
  addRun(191, "f64.", "reinterpret_i64", "I>F");
  addRun(192, "i32.", "extend8_s extend16_s", "i>i");
  addRun(194, "i64.", "extend8_s extend16_s extend32_s", "I>I");
  addRun(64512, "i32.", "trunc_sat_f32_s trunc_sat_f32_u", "f>i");
  addRun(64514, "i32.", "trunc_sat_f64_s trunc_sat_f64_u", "F>i");
  addRun(64516, "i64.", "trunc_sat_f32_s trunc_sat_f32_u", "f>I");
  addRun(64518, "i64.", "trunc_sat_f64_s trunc_sat_f64_u", "F>I");
}
addControl();
addVariablesAndTables();
addMemory();
addNumbers();
addConversions();
var OPCODES = ENTRIES;

var UNITS_PER_FUEL = 500;
var FUEL_EXPORT = "arqon_fuel";
var HEIGHT_EXPORT = "arqon_height";
var SAVE_EXPORT = "arqon_save";
var RESTORE_EXPORT = "arqon_restore";
var METER_VERSION = 5;
var ENTRY_UNITS = 4;
var IMPORT_UNITS = 1e3;
var HEIGHT_LIMIT_SLOTS = 32768;
var FRAME_SLOTS = 8;
var LEAF_SLOTS = 128;
var HOST_MODULES = [
  "arqon_host_v1",
  "arqon_host_v2"
];
var LENGTH_PARAMETERS = {
  host_get_header: [
    1
  ],
  host_get_claim: [
    1
  ],
  host_get_payload: [],
  host_add_header: [
    1,
    3
  ],
  host_log: [
    2
  ],
  host_reject: [
    2
  ],
  host_set_payload: [
    1
  ],
  host_state_get: [],
  host_state_set: [
    2
  ],
  host_state_delete: []
};
var ROOM_MODULE = "arqon_room_v1";
var ROOM_LENGTH_PARAMETERS = {
  room_field: [],
  room_claim: [
    1
  ],
  room_now: [],
  room_offset: [],
  room_random: [],
  room_read: [
    1
  ],
  room_write: [
    1,
    3
  ],
  room_delete: [
    1
  ],
  room_scan: [
    1,
    3
  ],
  room_emit: [
    1,
    3,
    5
  ],
  room_answer: [
    1
  ],
  room_schedule: [
    1,
    4,
    6
  ],
  room_unschedule: [
    1
  ],
  room_log: [
    2
  ],
  room_reject: [
    2
  ]
};
var SIZE_RATES = /* @__PURE__ */ new Map([
  [
    Op.MEMORY_GROW,
    {
      left: 13,
      right: 0
    }
  ],
  [
    Op.MEMORY_INIT,
    {
      left: 0,
      right: 4
    }
  ],
  [
    Op.MEMORY_COPY,
    {
      left: 0,
      right: 4
    }
  ],
  [
    Op.MEMORY_FILL,
    {
      left: 0,
      right: 4
    }
  ],
  [
    Op.TABLE_INIT,
    {
      left: 5,
      right: 0
    }
  ],
  [
    Op.TABLE_COPY,
    {
      left: 4,
      right: 0
    }
  ],
  [
    Op.TABLE_GROW,
    {
      left: 6,
      right: 0
    }
  ],
  [
    Op.TABLE_FILL,
    {
      left: 5,
      right: 0
    }
  ]
]);
var PRICES = [
  [
    Op.BLOCK,
    Op.LOOP,
    0
  ],
  [
    Op.ELSE,
    Op.ELSE,
    0
  ],
  [
    Op.END,
    Op.END,
    0
  ],
  [
    Op.IF,
    Op.IF,
    2
  ],
  [
    Op.BR,
    Op.BR_IF,
    2
  ],
  [
    Op.BR_TABLE,
    Op.BR_TABLE,
    3
  ],
  [
    Op.RETURN,
    Op.RETURN,
    2
  ],
  [
    Op.CALL,
    Op.CALL,
    3
  ],
  [
    Op.CALL_INDIRECT,
    Op.CALL_INDIRECT,
    6
  ],
  [
    Op.TABLE_GET,
    Op.TABLE_GET,
    4
  ],
  [
    Op.TABLE_SET,
    Op.TABLE_SET,
    40
  ],
  [
    Op.I32_LOAD,
    Op.I64_STORE32,
    20
  ],
  [
    44,
    45,
    14
  ],
  [
    48,
    49,
    14
  ],
  [
    58,
    58,
    3
  ],
  [
    60,
    60,
    3
  ],
  [
    Op.MEMORY_GROW,
    Op.MEMORY_GROW,
    100
  ],
  [
    109,
    112,
    10
  ],
  [
    127,
    130,
    32
  ],
  [
    141,
    144,
    5
  ],
  [
    145,
    145,
    64
  ],
  [
    146,
    147,
    3
  ],
  [
    148,
    149,
    64
  ],
  [
    150,
    151,
    7
  ],
  [
    152,
    152,
    5
  ],
  [
    155,
    158,
    5
  ],
  [
    159,
    159,
    64
  ],
  [
    160,
    161,
    3
  ],
  [
    162,
    163,
    64
  ],
  [
    164,
    165,
    7
  ],
  [
    166,
    166,
    5
  ],
  [
    168,
    171,
    4
  ],
  [
    174,
    181,
    4
  ],
  [
    182,
    182,
    64
  ],
  [
    183,
    186,
    4
  ],
  [
    187,
    187,
    64
  ],
  [
    Op.REF_FUNC,
    Op.REF_FUNC,
    4
  ],
  [
    64512,
    64519,
    6
  ],
  [
    Op.MEMORY_INIT,
    Op.MEMORY_INIT,
    50
  ],
  [
    Op.DATA_DROP,
    Op.DATA_DROP,
    5
  ],
  [
    Op.MEMORY_COPY,
    Op.MEMORY_COPY,
    50
  ],
  [
    Op.MEMORY_FILL,
    Op.MEMORY_FILL,
    150
  ],
  [
    Op.TABLE_INIT,
    Op.TABLE_INIT,
    50
  ],
  [
    Op.ELEM_DROP,
    Op.ELEM_DROP,
    5
  ],
  [
    Op.TABLE_COPY,
    Op.TABLE_COPY,
    30
  ],
  [
    Op.TABLE_GROW,
    Op.TABLE_GROW,
    50
  ],
  [
    Op.TABLE_FILL,
    Op.TABLE_FILL,
    30
  ]
];
var PRICED = [
  [
    Op.UNREACHABLE,
    Op.ELSE
  ],
  [
    Op.END,
    Op.CALL_INDIRECT
  ],
  [
    Op.DROP,
    Op.SELECT_TYPED
  ],
  [
    Op.LOCAL_GET,
    Op.TABLE_SET
  ],
  [
    Op.I32_LOAD,
    196
  ],
  [
    Op.REF_NULL,
    Op.REF_FUNC
  ],
  [
    64512,
    Op.TABLE_FILL
  ]
];
function priceTable() {
  const table = /* @__PURE__ */ new Map();
  for (const [first, last2] of PRICED) {
    for (let op = first; op <= last2; op++) table.set(op, 1);
  }
  for (const [first, last2, units] of PRICES) {
    for (let op = first; op <= last2; op++) table.set(op, units);
  }
  return table;
}
var TABLE = priceTable();
function instructionUnits(instruction2, values) {
  const base = TABLE.get(instruction2.op);
  if (base === void 0 || instruction2.op !== Op.BR_TABLE) {
    return base === void 0 ? void 0 : base + values;
  }
  return base + values + (32 - Math.clz32(instruction2.list.length));
}
function sizeRate(op) {
  return SIZE_RATES.get(op);
}
function frameSlots(locals, max_height, instructions) {
  return FRAME_SLOTS + locals + max_height + (instructions >>> 4);
}
function lengthParameters(module, name, parameters) {
  const of_room = module === ROOM_MODULE;
  if (!of_room && !HOST_MODULES.includes(module)) return [];
  const known = of_room ? ROOM_LENGTH_PARAMETERS : LENGTH_PARAMETERS;
  if (!Object.hasOwn(known, name)) return [];
  return (known[name] ?? []).filter((index) => parameters[index] === ValueType.I32);
}

var STATE_KEYS_EXPORT = "arqon_state_keys";
var STATE_KEYS_BYTES = 4096;
var DECLARING_FUEL = 1e4;
var StateKeysError = class extends Error {
};
function noHost() {
  throw new StateKeysError("it called the host, which has nothing to say before a hook runs");
}
function valueAt({ buffer }, pointer) {
  const start = pointer >>> 0;
  if (start === 0 || start + 4 > buffer.byteLength) {
    throw new StateKeysError(`${STATE_KEYS_EXPORT} returns ${start}, which is no value`);
  }
  const size_bytes = new DataView(buffer).getUint32(start, true);
  if (size_bytes > STATE_KEYS_BYTES || start + 4 + size_bytes > buffer.byteLength) {
    const limit = `at most ${STATE_KEYS_BYTES}, all of them in its memory`;
    throw new StateKeysError(`${STATE_KEYS_EXPORT} gives ${size_bytes} bytes; ${limit}`);
  }
  return new Uint8Array(buffer, start + 4, size_bytes);
}
function importsOf(module) {
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = noHost;
  }
  return imports;
}
function stateKeysText(module) {
  if (!WebAssembly.Module.imports(module).some((one) => one.module === HOST_MODULES[1])) return "";
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  if (!names.includes(STATE_KEYS_EXPORT)) return "";
  try {
    const { exports } = new WebAssembly.Instance(module, importsOf(module));
    const fuel = exports[FUEL_EXPORT];
    fuel.value = BigInt(DECLARING_FUEL * UNITS_PER_FUEL);
    if (names.includes("arqon_init")) exports["arqon_init"]();
    const pointer = exports[STATE_KEYS_EXPORT]();
    const bytes = valueAt(exports["memory"], pointer);
    return new TextDecoder("utf-8", {
      fatal: true,
      ignoreBOM: true
    }).decode(bytes);
  } catch (error2) {
    if (error2 instanceof StateKeysError) throw error2;
    const why = error2 instanceof Error ? error2.message : String(error2);
    throw new StateKeysError(`${STATE_KEYS_EXPORT} fails: ${why}`);
  }
}

function isBytes(a) {
  return a instanceof Uint8Array || ArrayBuffer.isView(a) && a.constructor.name === "Uint8Array";
}
function abytes(value, length, title = "") {
  const bytes = isBytes(value);
  const len = value?.length;
  const needsLen = length !== void 0;
  if (!bytes || needsLen && len !== length) {
    const prefix = title && `"${title}" `;
    const ofLen = needsLen ? ` of length ${length}` : "";
    const got = bytes ? `length=${len}` : `type=${typeof value}`;
    throw new Error(prefix + "expected Uint8Array" + ofLen + ", got " + got);
  }
  return value;
}
function aexists(instance, checkFinished = true) {
  if (instance.destroyed) throw new Error("Hash instance has been destroyed");
  if (checkFinished && instance.finished) throw new Error("Hash#digest() has already been called");
}
function aoutput(out, instance) {
  abytes(out, void 0, "digestInto() output");
  const min = instance.outputLen;
  if (out.length < min) {
    throw new Error('"digestInto() output" expected to be of length >=' + min);
  }
}
function clean(...arrays) {
  for (let i = 0; i < arrays.length; i++) {
    arrays[i].fill(0);
  }
}
function createView(arr) {
  return new DataView(arr.buffer, arr.byteOffset, arr.byteLength);
}
function rotr(word, shift) {
  return word << 32 - shift | word >>> shift;
}
function createHasher(hashCons, info = {}) {
  const hashC = (msg, opts) => hashCons(opts).update(msg).digest();
  const tmp = hashCons(void 0);
  hashC.outputLen = tmp.outputLen;
  hashC.blockLen = tmp.blockLen;
  hashC.create = (opts) => hashCons(opts);
  Object.assign(hashC, info);
  return Object.freeze(hashC);
}
var oidNist = (suffix) => ({
  oid: Uint8Array.from([
    6,
    9,
    96,
    134,
    72,
    1,
    101,
    3,
    4,
    2,
    suffix
  ])
});

function Chi(a, b, c) {
  return a & b ^ ~a & c;
}
function Maj(a, b, c) {
  return a & b ^ a & c ^ b & c;
}
var HashMD = class {
  blockLen;
  outputLen;
  padOffset;
  isLE;
  // For partial updates less than block size
  buffer;
  view;
  finished = false;
  length = 0;
  pos = 0;
  destroyed = false;
  constructor(blockLen, outputLen, padOffset, isLE) {
    this.blockLen = blockLen;
    this.outputLen = outputLen;
    this.padOffset = padOffset;
    this.isLE = isLE;
    this.buffer = new Uint8Array(blockLen);
    this.view = createView(this.buffer);
  }
  update(data) {
    aexists(this);
    abytes(data);
    const { view, buffer, blockLen } = this;
    const len = data.length;
    for (let pos = 0; pos < len; ) {
      const take = Math.min(blockLen - this.pos, len - pos);
      if (take === blockLen) {
        const dataView = createView(data);
        for (; blockLen <= len - pos; pos += blockLen) this.process(dataView, pos);
        continue;
      }
      buffer.set(data.subarray(pos, pos + take), this.pos);
      this.pos += take;
      pos += take;
      if (this.pos === blockLen) {
        this.process(view, 0);
        this.pos = 0;
      }
    }
    this.length += data.length;
    this.roundClean();
    return this;
  }
  digestInto(out) {
    aexists(this);
    aoutput(out, this);
    this.finished = true;
    const { buffer, view, blockLen, isLE } = this;
    let { pos } = this;
    buffer[pos++] = 128;
    clean(this.buffer.subarray(pos));
    if (this.padOffset > blockLen - pos) {
      this.process(view, 0);
      pos = 0;
    }
    for (let i = pos; i < blockLen; i++) buffer[i] = 0;
    view.setBigUint64(blockLen - 8, BigInt(this.length * 8), isLE);
    this.process(view, 0);
    const oview = createView(out);
    const len = this.outputLen;
    if (len % 4) throw new Error("_sha2: outputLen must be aligned to 32bit");
    const outLen = len / 4;
    const state = this.get();
    if (outLen > state.length) throw new Error("_sha2: outputLen bigger than state");
    for (let i = 0; i < outLen; i++) oview.setUint32(4 * i, state[i], isLE);
  }
  digest() {
    const { buffer, outputLen } = this;
    this.digestInto(buffer);
    const res = buffer.slice(0, outputLen);
    this.destroy();
    return res;
  }
  _cloneInto(to) {
    to ||= new this.constructor();
    to.set(...this.get());
    const { blockLen, buffer, length, finished, destroyed, pos } = this;
    to.destroyed = destroyed;
    to.finished = finished;
    to.length = length;
    to.pos = pos;
    if (length % blockLen) to.buffer.set(buffer);
    return to;
  }
  clone() {
    return this._cloneInto();
  }
};
var SHA256_IV = /* @__PURE__ */ Uint32Array.from([
  1779033703,
  3144134277,
  1013904242,
  2773480762,
  1359893119,
  2600822924,
  528734635,
  1541459225
]);

var SHA256_K = /* @__PURE__ */ Uint32Array.from([
  1116352408,
  1899447441,
  3049323471,
  3921009573,
  961987163,
  1508970993,
  2453635748,
  2870763221,
  3624381080,
  310598401,
  607225278,
  1426881987,
  1925078388,
  2162078206,
  2614888103,
  3248222580,
  3835390401,
  4022224774,
  264347078,
  604807628,
  770255983,
  1249150122,
  1555081692,
  1996064986,
  2554220882,
  2821834349,
  2952996808,
  3210313671,
  3336571891,
  3584528711,
  113926993,
  338241895,
  666307205,
  773529912,
  1294757372,
  1396182291,
  1695183700,
  1986661051,
  2177026350,
  2456956037,
  2730485921,
  2820302411,
  3259730800,
  3345764771,
  3516065817,
  3600352804,
  4094571909,
  275423344,
  430227734,
  506948616,
  659060556,
  883997877,
  958139571,
  1322822218,
  1537002063,
  1747873779,
  1955562222,
  2024104815,
  2227730452,
  2361852424,
  2428436474,
  2756734187,
  3204031479,
  3329325298
]);
var SHA256_W = /* @__PURE__ */ new Uint32Array(64);
var SHA2_32B = class extends HashMD {
  constructor(outputLen) {
    super(64, outputLen, 8, false);
  }
  get() {
    const { A, B, C, D, E, F, G, H } = this;
    return [
      A,
      B,
      C,
      D,
      E,
      F,
      G,
      H
    ];
  }
  // prettier-ignore
  set(A, B, C, D, E, F, G, H) {
    this.A = A | 0;
    this.B = B | 0;
    this.C = C | 0;
    this.D = D | 0;
    this.E = E | 0;
    this.F = F | 0;
    this.G = G | 0;
    this.H = H | 0;
  }
  process(view, offset) {
    for (let i = 0; i < 16; i++, offset += 4) SHA256_W[i] = view.getUint32(offset, false);
    for (let i = 16; i < 64; i++) {
      const W15 = SHA256_W[i - 15];
      const W2 = SHA256_W[i - 2];
      const s0 = rotr(W15, 7) ^ rotr(W15, 18) ^ W15 >>> 3;
      const s1 = rotr(W2, 17) ^ rotr(W2, 19) ^ W2 >>> 10;
      SHA256_W[i] = s1 + SHA256_W[i - 7] + s0 + SHA256_W[i - 16] | 0;
    }
    let { A, B, C, D, E, F, G, H } = this;
    for (let i = 0; i < 64; i++) {
      const sigma1 = rotr(E, 6) ^ rotr(E, 11) ^ rotr(E, 25);
      const T1 = H + sigma1 + Chi(E, F, G) + SHA256_K[i] + SHA256_W[i] | 0;
      const sigma0 = rotr(A, 2) ^ rotr(A, 13) ^ rotr(A, 22);
      const T2 = sigma0 + Maj(A, B, C) | 0;
      H = G;
      G = F;
      F = E;
      E = D + T1 | 0;
      D = C;
      C = B;
      B = A;
      A = T1 + T2 | 0;
    }
    A = A + this.A | 0;
    B = B + this.B | 0;
    C = C + this.C | 0;
    D = D + this.D | 0;
    E = E + this.E | 0;
    F = F + this.F | 0;
    G = G + this.G | 0;
    H = H + this.H | 0;
    this.set(A, B, C, D, E, F, G, H);
  }
  roundClean() {
    clean(SHA256_W);
  }
  destroy() {
    this.set(0, 0, 0, 0, 0, 0, 0, 0);
    clean(this.buffer);
  }
};
var _SHA256 = class extends SHA2_32B {
  // We cannot use array here since array allows indexing by variable
  // which means optimizer/compiler cannot use registers.
  A = SHA256_IV[0] | 0;
  B = SHA256_IV[1] | 0;
  C = SHA256_IV[2] | 0;
  D = SHA256_IV[3] | 0;
  E = SHA256_IV[4] | 0;
  F = SHA256_IV[5] | 0;
  G = SHA256_IV[6] | 0;
  H = SHA256_IV[7] | 0;
  constructor() {
    super(32);
  }
};
var sha256 = /* @__PURE__ */ createHasher(() => new _SHA256(), /* @__PURE__ */ oidNist(1));

function problemText(error2) {
  return error2.issues.slice(0, 8).map(({ path, message }) => {
    const where = path.map((step) => typeof step === "number" ? `[${step}]` : `.${String(step)}`);
    return `${where.join("").replace(/^\./, "") || "it"}: ${message}`;
  }).join("; ");
}

var WasmError = class extends Error {
  name = "WasmError";
  kind;
  /** Offset in bytes from the start of the module. */
  offset;
  /** Set when `kind` is `unsupported`. */
  feature;
  /** `sentence` needs no position: the message gets it. */
  constructor(kind, sentence, offset, feature) {
    super(`${sentence} (at byte ${offset})`);
    this.kind = kind;
    this.offset = offset;
    this.feature = feature;
  }
};
function malformed(sentence, offset) {
  return new WasmError("malformed", sentence, offset);
}
function invalid(sentence, offset) {
  return new WasmError("invalid", sentence, offset);
}
function overLimit(sentence, offset) {
  return new WasmError("limit", sentence, offset);
}
function unsupported(feature, what, offset) {
  return new WasmError("unsupported", `${what} needs ${feature}, which is not supported`, offset, feature);
}
var PolicyModuleError = class extends Error {
  name = "PolicyModuleError";
  reason;
  /** `cause` is the `WasmError`, when there is one. */
  constructor(reason, sentence, options) {
    super(sentence, options);
    this.reason = reason;
  }
};

var ADDED_HEADERS = 64;
var ADDED_HEADER_BYTES = 16384;
var TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
var CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;
var ASCII = /^[\u0000-\u007f]*$/;
var NAME_BYTES = 256;
var encoder = new TextEncoder();
var decoder = new TextDecoder("utf-8", {
  ignoreBOM: true
});
function asciiLower(text) {
  if (ASCII.test(text)) return text.toLowerCase();
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte >= 65 && byte <= 90) bytes[at] = byte + 32;
  }
  return decoder.decode(bytes);
}
function isReserved(lower_name) {
  return lower_name.startsWith("x-arqon-") || lower_name === "x-twist-id" || lower_name === "x-timestamp";
}
function headerProblem(name, value) {
  if (!TOKEN.test(name) || name.length > NAME_BYTES) {
    return `a header name is 1 to ${NAME_BYTES} characters of an HTTP token`;
  }
  if (isReserved(asciiLower(name))) return `header "${name}" is the gateway's own`;
  if (CONTROL.test(value)) return `the value of header "${name}" has a control character`;
  return void 0;
}
var lenient = new TextDecoder();
function cutUtf8(bytes, max_bytes) {
  if (bytes.length <= max_bytes) return lenient.decode(bytes);
  let end = max_bytes;
  for (let step = 0; step < 3 && (bytes[end] & 192) === 128; step++) end--;
  return lenient.decode(bytes.subarray(0, end));
}

var STATE_SLOTS = 4;
var STATE_VALUE_BYTES = 4096;
var TTL_SECONDS = 86400;
var TEMPLATE_CHARACTERS = 512;
var FILLED_CHARACTERS = 256;
var Declared = array(strictObject({
  key: string2().min(1).max(TEMPLATE_CHARACTERS),
  ttl_seconds: int().min(1).max(TTL_SECONDS),
  value_bytes: int().min(1).max(STATE_VALUE_BYTES)
})).max(STATE_SLOTS);
var FIELDS = [
  "tenant",
  "room",
  "user",
  "connection",
  "type"
];
function refusal(sentence) {
  return new PolicyModuleError("state-keys", sentence);
}
var isField = (text) => FIELDS.includes(text);
function placeholderOf(text) {
  if (isField(text)) return {
    from: text
  };
  const dot = text.indexOf(".");
  const [from, name] = [
    text.slice(0, dot),
    text.slice(dot + 1)
  ];
  if (dot < 0 || name === "" || new TextEncoder().encode(name).length > NAME_BYTES) {
    return void 0;
  }
  if (from === "claim") return {
    from,
    name
  };
  return from === "header" ? {
    from,
    name: asciiLower(name)
  } : void 0;
}
function placeholdersOf(template) {
  const found = [];
  const rest = template.replaceAll(/\{([^{}]*)\}/g, (whole, text) => {
    const placeholder = placeholderOf(text);
    if (placeholder === void 0) {
      const known = "{tenant} {room} {user} {connection} {type} {claim.NAME} {header.NAME}";
      throw refusal(`the key ${JSON.stringify(template)} has ${whole}; there are ${known}`);
    }
    found.push(placeholder);
    return "";
  });
  if (/[{}]/.test(rest)) throw refusal(`the key ${JSON.stringify(template)} has a brace alone`);
  return found;
}
function parseStateKeys(json) {
  if (json === "") return [];
  let value;
  try {
    value = JSON.parse(json);
  } catch {
    throw refusal("arqon_state_keys gives no JSON");
  }
  const parsed = Declared.safeParse(value);
  if (!parsed.success) throw refusal(`arqon_state_keys: ${problemText(parsed.error)}`);
  const keys = parsed.data.map(({ key }) => key);
  const repeated = keys.find((key, at) => keys.indexOf(key) !== at);
  if (repeated !== void 0) {
    throw refusal(`the key ${JSON.stringify(repeated)} stands there twice`);
  }
  return parsed.data.map(({ key, ttl_seconds, value_bytes }) => ({
    key,
    ttl_ms: ttl_seconds * 1e3,
    value_bytes,
    placeholders: placeholdersOf(key)
  }));
}
function ownHeader({ headers }, name) {
  for (let at = headers.length - 1; at >= 0; at--) {
    const [found, value] = headers[at];
    if (found === name) return value;
  }
  return "";
}
function claimOf({ claims }, name) {
  if (!Object.hasOwn(claims, name)) return null;
  const value = claims[name];
  return typeof value === "string" ? value : JSON.stringify(value) ?? null;
}
function filledBy(placeholder, source) {
  const { facts } = source;
  switch (placeholder.from) {
    case "tenant":
      return source.tenant_id;
    case "connection":
      return source.connection_id;
    case "room":
    case "user":
    case "type":
      return ownHeader(facts, `x-arqon-${placeholder.from}`);
    case "claim":
      return claimOf(facts, placeholder.name);
    case "header":
      return facts.headers.find(([name]) => asciiLower(name) === placeholder.name)?.[1] ?? null;
    default:
      return placeholder;
  }
}
function bounded(text) {
  if (text === null || text.length <= FILLED_CHARACTERS) return text;
  return {
    sha256: sha256(new TextEncoder().encode(text)).toHex()
  };
}
function filledKey({ placeholders }, source) {
  return JSON.stringify(placeholders.map((one) => bounded(filledBy(one, source))));
}

var EndCall = class {
  fault;
  detail;
  constructor(fault, detail) {
    this.fault = fault;
    this.detail = detail;
  }
  /** The text of the error where it does not end a call: a start function that asks the host. */
  toString() {
    return this.detail;
  }
};
function memoryOf(guest) {
  if (guest.bytes.length === 0) guest.bytes = new Uint8Array(guest.memory.buffer);
  return guest.bytes;
}
function bytesAt(guest, what, pointer, size) {
  requireInside(guest, what, pointer, size);
  return memoryOf(guest).subarray(pointer >>> 0, (pointer >>> 0) + (size >>> 0));
}
function requireInside(guest, what, pointer, size) {
  const start = pointer >>> 0;
  const size_bytes = size >>> 0;
  const memory_bytes = memoryOf(guest).length;
  if (start + size_bytes <= memory_bytes) return;
  const sentence = `${size_bytes} bytes at ${start} are outside of the memory of ${memory_bytes}`;
  throw new EndCall("abi", `${what}: ${sentence}`);
}

var HOOKS = [
  "on_connect",
  "on_subscribe",
  "on_message",
  "on_append"
];
var SIGNED = -1;
var NOT_A_MESSAGE = -2;
var FAULT_CODES = {
  "payload-too-large": 413,
  "signed-payload": 422,
  "rate": 429
};

var HOST_MODULE = {
  1: "arqon_host_v1",
  2: "arqon_host_v2"
};
var LOG_LINE_BYTES = 1024;
var LOG_LINES = 32;
var REASON_BYTES = 512;
var ASKING_UNITS_PER_BYTE = 8;
var TEXT_UNITS_PER_BYTE = 4;
var PAYLOAD_BYTES_PER_UNIT = 8;
var STATE_GET_UNITS_PER_BYTE = 1;
var STATE_SET_UNITS_PER_BYTE = 3;
var STATE_WRITE_UNITS = 2500;
var SET_PAYLOAD_UNITS = 2500;
var encoder2 = new TextEncoder();
var strict = new TextDecoder("utf-8", {
  fatal: true
});
function newCall(request) {
  const has_asked = (request.asking_bytes ?? 0) === 0;
  return {
    request,
    has_asked,
    added_headers: void 0,
    added_bytes: 0,
    logs: void 0,
    rejected: void 0,
    written: void 0,
    read_slots: 0,
    payload: void 0
  };
}
function current({ call, in_alloc }) {
  if (in_alloc) throw new EndCall("abi", "arqon_alloc called the host");
  if (call === void 0) throw new EndCall("abi", "the host was called outside of a hook");
  return call;
}
function readText(running, what, [pointer, size], max_bytes) {
  const bytes = bytesAt(running.exports, what, pointer, size);
  if (bytes.length > max_bytes) {
    throw new EndCall("abi", `${what}: ${bytes.length} bytes; at most ${max_bytes}`);
  }
  try {
    return strict.decode(bytes);
  } catch {
    throw new EndCall("abi", `${what}: not UTF-8`);
  }
}
function charge({ exports: { fuel } }, units) {
  const left = fuel.value - BigInt(units);
  fuel.value = left;
  if (left < 0n) throw new EndCall("fuel", "out of fuel");
}
function asking(running) {
  const call = current(running);
  if (!call.has_asked) {
    call.has_asked = true;
    charge(running, (call.request.asking_bytes ?? 0) * ASKING_UNITS_PER_BYTE);
  }
  return call.request;
}
function give(running, bytes, units) {
  charge(running, units);
  running.in_alloc = true;
  let pointer;
  try {
    pointer = running.exports.alloc(4 + bytes.length) >>> 0;
  } finally {
    running.in_alloc = false;
  }
  if (pointer === 0) throw new EndCall("memory", "arqon_alloc has no room");
  const { length } = bytes;
  requireInside(running.exports, "arqon_alloc", pointer, 4 + length);
  const memory = memoryOf(running.exports);
  memory[pointer] = length;
  memory[pointer + 1] = length >>> 8;
  memory[pointer + 2] = length >>> 16;
  memory[pointer + 3] = length >>> 24;
  memory.set(bytes, pointer + 4);
  return pointer | 0;
}
function giveText(running, text) {
  if (text === void 0) return 0;
  const bytes = encoder2.encode(text);
  return give(running, bytes, bytes.length * TEXT_UNITS_PER_BYTE);
}
function addHeader(call, name, value, size_bytes) {
  const problem = headerProblem(name, value);
  if (problem !== void 0) throw new EndCall("abi", `host_add_header: ${problem}`);
  call.added_bytes += size_bytes;
  const added = call.added_headers ??= [];
  if (added.length >= ADDED_HEADERS || call.added_bytes > ADDED_HEADER_BYTES) {
    throw new EndCall("abi", `host_add_header: more than ${ADDED_HEADERS} headers or ${ADDED_HEADER_BYTES} bytes`);
  }
  added.push([
    name,
    value
  ]);
}
function stateOf({ request: { state } }, slot) {
  const slots = state?.value_bytes.length ?? 0;
  if (state !== void 0 && slot >>> 0 < slots) return state;
  throw new EndCall("abi", `slot ${slot >>> 0} of the state; the policy declares ${slots}`);
}
function slotValue(call, slot) {
  const state = stateOf(call, slot);
  const own2 = call.written?.get(slot);
  if (own2 !== void 0) return own2;
  call.read_slots |= 1 << slot;
  return state.value(slot);
}
function write(running, call, slot, value) {
  if (!call.written?.has(slot)) charge(running, STATE_WRITE_UNITS);
  (call.written ??= /* @__PURE__ */ new Map()).set(slot, value);
}
function stateImports(running) {
  return {
    host_state_get(slot) {
      const value = slotValue(current(running), slot);
      return value === null ? 0 : give(running, value, value.length * STATE_GET_UNITS_PER_BYTE);
    },
    host_state_set(slot, pointer, size) {
      const call = current(running);
      const most = stateOf(call, slot).value_bytes[slot];
      const bytes = bytesAt(running.exports, "state", pointer, size);
      if (bytes.length > most) {
        throw new EndCall("abi", `state: ${bytes.length} bytes; slot ${slot} has at most ${most}`);
      }
      charge(running, bytes.length * STATE_SET_UNITS_PER_BYTE);
      write(running, call, slot, bytes.slice());
    },
    host_state_delete(slot) {
      const call = current(running);
      stateOf(call, slot);
      write(running, call, slot, null);
    }
  };
}
function changingImports(running) {
  return {
    host_set_payload(pointer, size) {
      const call = current(running);
      const { payload_most: most = Infinity } = call.request;
      if (most === NOT_A_MESSAGE) {
        throw new EndCall("abi", "host_set_payload: only a message has a payload");
      }
      if (most === SIGNED) {
        throw new EndCall("signed-payload", "host_set_payload: the message is signed by its sender");
      }
      const bytes = bytesAt(running.exports, "payload", pointer, size);
      if (bytes.length > most) {
        const sentence = `host_set_payload: ${bytes.length} bytes; at most ${most} here`;
        throw new EndCall("payload-too-large", sentence);
      }
      if (call.payload === void 0) charge(running, SET_PAYLOAD_UNITS);
      call.payload = bytes.slice();
    }
  };
}
function hostImports(running) {
  return {
    ...stateImports(running),
    ...changingImports(running),
    host_get_header(pointer, size) {
      const request = asking(running);
      const name = readText(running, "header name", [
        pointer,
        size
      ], NAME_BYTES);
      return giveText(running, request.header(asciiLower(name)));
    },
    host_get_claim(pointer, size) {
      const request = asking(running);
      const name = readText(running, "claim name", [
        pointer,
        size
      ], NAME_BYTES);
      return giveText(running, request.claim(name));
    },
    host_get_payload() {
      const { payload } = current(running).request;
      return give(running, payload, Math.ceil(payload.length / PAYLOAD_BYTES_PER_UNIT));
    },
    host_add_header(name_at, name_size, value_at, value_size) {
      addHeader(current(running), readText(running, "header name", [
        name_at,
        name_size
      ], NAME_BYTES), readText(running, "header value", [
        value_at,
        value_size
      ], ADDED_HEADER_BYTES), (name_size >>> 0) + (value_size >>> 0));
    },
    host_log(level, pointer, size) {
      const call = current(running);
      const bytes = bytesAt(running.exports, "log line", pointer, size);
      const logs = call.logs ??= [];
      if (logs.length >= LOG_LINES) return;
      const known = level >= 0 && level <= 3 ? level : 1;
      logs.push({
        level: known,
        message: cutUtf8(bytes, LOG_LINE_BYTES)
      });
    },
    host_reject(code, pointer, size) {
      const call = current(running);
      const bytes = bytesAt(running.exports, "reason", pointer, size);
      if (code < 400 || code > 599) {
        throw new EndCall("abi", `host_reject: code ${code} is not within 400 to 599`);
      }
      call.rejected = {
        code,
        reason: cutUtf8(bytes, REASON_BYTES)
      };
      throw new EndCall(void 0, "");
    }
  };
}

var INSTANCE_FUEL_MAX = 5e3;
var BASE_UNITS = 4e4;
var UNITS = {
  imports: 1e3,
  exports: 1e3,
  /** A character of an export's name, which becomes a property. */
  name_character: 1,
  functions: 64,
  types: 50,
  globals: 150,
  tables: 700,
  /** Entry that a table begins with. */
  table_entry: 64,
  element_segments: 200,
  /** Also in a passive segment: the first `table.init` makes all of them, for the price of some. */
  element: 150,
  data_segments: 100,
  data_byte: 2,
  /**
   * A page of 64 KiB: its first touch is paid here, since no instruction can know that it is the
   * first.
   */
  memory_page: 65536
};
var sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
function elementsOf({ items }) {
  return items.kind === "functions" ? items.indices.length : items.expressions.length;
}
function parts(module, saved) {
  const { imports, functions, types, tables, elements, data } = module;
  const added = saved === void 0 ? [] : [
    SAVE_EXPORT,
    RESTORE_EXPORT
  ];
  const exports = [
    ...module.exports.map(({ name }) => name),
    ...added
  ];
  const globals = module.globals.length + (saved?.length ?? 0);
  const entries2 = sum(tables.map(({ limits }) => limits.minimum));
  const filled = sum(elements.map(elementsOf));
  const names = sum(exports.map((name) => name.length));
  const bytes = sum(data.map((one) => one.mode === "active" ? one.bytes.length : 0));
  return [
    [
      imports.length * UNITS.imports,
      `${imports.length} imports`
    ],
    [
      exports.length * UNITS.exports + names * UNITS.name_character,
      `${exports.length} exports`
    ],
    [
      functions.length * UNITS.functions,
      `${functions.length} functions`
    ],
    [
      types.length * UNITS.types,
      `${types.length} types`
    ],
    [
      globals * UNITS.globals,
      `${globals} globals`
    ],
    [
      tables.length * UNITS.tables + entries2 * UNITS.table_entry,
      `${tables.length} tables with ${entries2} entries`
    ],
    [
      elements.length * UNITS.element_segments + filled * UNITS.element,
      `${elements.length} element segments with ${filled} entries`
    ],
    [
      data.length * UNITS.data_segments + bytes * UNITS.data_byte,
      `${data.length} data segments with ${bytes} bytes`
    ]
  ];
}
function instanceCost(module, saved) {
  const all = parts(module, saved);
  const units = BASE_UNITS + sum(all.map(([one]) => one));
  const pages = sum(module.memories.map(({ limits }) => limits.minimum));
  const [, mostly = ""] = all.reduce((most, one) => one[0] > most[0] ? one : most, [
    -1,
    ""
  ]);
  return {
    fuel: Math.ceil((units + pages * UNITS.memory_page) / UNITS_PER_FUEL),
    fuel_without_memory: Math.ceil(units / UNITS_PER_FUEL),
    mostly
  };
}
function checkedInstanceFuel(module, saved) {
  const { fuel, fuel_without_memory, mostly } = instanceCost(module, saved);
  if (fuel_without_memory <= INSTANCE_FUEL_MAX) return fuel;
  throw new PolicyModuleError("instance-cost", `Making an instance of the module costs ${fuel_without_memory} fuel, mostly for its ${mostly}; at most ${INSTANCE_FUEL_MAX}, the memory not counted.`);
}

function blockValues(a, types) {
  if (a < 0) return a === -64 ? 0 : 1;
  const type = types[a];
  return type === void 0 ? 0 : type.parameters.length + type.results.length;
}
function declaredLocals(body) {
  return body.locals.reduce((sum2, group) => sum2 + group.count, 0);
}
var Walk = class {
  #module;
  #body;
  #frames;
  #charges;
  #charge;
  #live = true;
  constructor(module, body) {
    this.#module = module;
    this.#body = body;
    const type = module.types[body.type];
    const values = (type?.parameters.length ?? 0) + (type?.results.length ?? 0);
    this.#charge = {
      at: 0,
      units: ENTRY_UNITS + values + declaredLocals(body)
    };
    this.#charges = [
      this.#charge
    ];
    this.#frames = [];
    this.#enter(Op.BLOCK);
  }
  run() {
    this.#body.code.forEach((instruction2, index) => {
      if (this.#live) this.#charge.units += this.#price(instruction2, index);
      this.#step(instruction2, index);
    });
    return this.#charges.filter(({ units }) => units > 0);
  }
  #price(instruction2, index) {
    const { op, a } = instruction2;
    const opens = op === Op.BLOCK || op === Op.LOOP || op === Op.IF;
    const values = opens ? blockValues(a, this.#module.types) : this.#body.facts.arities[index] ?? 0;
    const units = instructionUnits(instruction2, values);
    if (units !== void 0) return units;
    const hex = `0x${op.toString(16)}`;
    throw new PolicyModuleError("module-unsupported", `Instruction ${hex} has no price.`);
  }
  #step({ op, a, list }, index) {
    switch (op) {
      case Op.BLOCK:
      case Op.LOOP:
      case Op.IF:
        this.#enter(op);
        if (op !== Op.BLOCK) this.#open(index + 1);
        return;
      case Op.ELSE:
        return this.#otherwise(index);
      case Op.END:
        return this.#end(index);
      case Op.BR_IF:
        this.#target([
          a
        ]);
        return this.#open(index + 1);
      case Op.BR:
      case Op.BR_TABLE:
        this.#target([
          ...list,
          a
        ]);
        this.#live = false;
        return;
      case Op.RETURN:
        this.#target([
          this.#frames.length - 1
        ]);
        this.#live = false;
        return;
      case Op.UNREACHABLE:
        this.#live = false;
    }
  }
  #enter(op) {
    const charge2 = this.#charge;
    this.#frames.push({
      op,
      entered: this.#live,
      charge: charge2,
      targeted: false,
      escaped: false
    });
  }
  /** The first arm of an `if` is over. Its falling through is like a branch to the end. */
  #otherwise(index) {
    const frame = this.#frames.pop();
    if (frame === void 0) return;
    const targeted = frame.targeted || this.#live;
    this.#frames.push({
      ...frame,
      op: Op.ELSE,
      targeted
    });
    this.#live = frame.entered;
    this.#open(index + 1);
  }
  #end(index) {
    const frame = this.#frames.pop();
    if (frame === void 0) return;
    const joined = frame.op !== Op.LOOP && (frame.targeted || frame.op === Op.IF && frame.entered);
    if (!joined && !this.#live) return;
    this.#live = true;
    if (!frame.escaped) this.#charge = frame.charge;
    else if (joined) this.#open(index + 1);
  }
  /** A branch to one of `labels`. Live code only: what never runs goes nowhere. */
  #target(labels) {
    if (!this.#live) return;
    let outermost = this.#frames.length - 1;
    for (const label of labels) {
      const at = this.#frames.length - 1 - label;
      const frame = this.#frames[at];
      if (frame !== void 0) frame.targeted = true;
      outermost = Math.min(outermost, at);
    }
    for (const frame of this.#frames.slice(outermost + 1)) frame.escaped = true;
  }
  /** A new block starts at `at`, if control arrives there. */
  #open(at) {
    if (!this.#live) return;
    this.#charge = {
      at,
      units: 0
    };
    this.#charges.push(this.#charge);
  }
};
function blockCharges(module, body) {
  return new Walk(module, body).run();
}

var CANONICAL_F32 = 2143289344;
var CANONICAL_F64 = 0x7ff8000000000000n;
var F32_EQ = 91;
var F64_EQ = 97;
var OPEN = [
  [
    141,
    151,
    ValueType.F32
  ],
  [
    155,
    165,
    ValueType.F64
  ],
  [
    182,
    182,
    ValueType.F32
  ],
  [
    187,
    187,
    ValueType.F64
  ]
];
var BLIND = [
  [
    Op.DROP,
    Op.DROP
  ],
  [
    91,
    102
  ],
  [
    168,
    171
  ],
  [
    174,
    177
  ],
  [
    64512,
    64519
  ]
];
var OPEN_TYPES = new Map(OPEN.flatMap(([first, last2, type]) => Array.from({
  length: last2 - first + 1
}, (_, at) => [
  first + at,
  type
])));
function isBlind(op) {
  return OPEN_TYPES.has(op) || BLIND.some(([first, last2]) => op >= first && op <= last2);
}
function shownNanType(op, next) {
  const type = OPEN_TYPES.get(op);
  return type === void 0 || isBlind(next) ? void 0 : type;
}
function canonicalNan(type, local) {
  const float = instruction(Op.LOCAL_GET, local);
  const is_f32 = type === ValueType.F32;
  return [
    instruction(Op.LOCAL_TEE, local),
    is_f32 ? instruction(Op.F32_CONST, CANONICAL_F32) : instruction(Op.F64_CONST, 0, 0, CANONICAL_F64),
    float,
    float,
    plain(is_f32 ? F32_EQ : F64_EQ),
    plain(Op.SELECT)
  ];
}

var TRAP_IF = [
  instruction(Op.IF, EMPTY_BLOCK),
  plain(Op.UNREACHABLE),
  plain(Op.END)
];
var NO_LOCAL = -1;
var Charges = class {
  #get;
  #set;
  #constants = /* @__PURE__ */ new Map();
  constructor(fuel) {
    this.#get = instruction(Op.GLOBAL_GET, fuel);
    this.#set = instruction(Op.GLOBAL_SET, fuel);
  }
  #constant(value) {
    let found = this.#constants.get(value);
    if (found === void 0) {
      found = instruction(Op.I64_CONST, 0, 0, BigInt(value));
      this.#constants.set(value, found);
    }
    return found;
  }
  /**
   * Pays `price`, code that leaves an i64; traps when the units are below zero then. The global stays
   * negative: that is how the host tells this trap from others. `fresh` is whether `fuel_local`, if
   * there is one, holds the units already.
   */
  #pay(price, fuel_local, fresh) {
    const kept = fuel_local !== NO_LOCAL;
    const left = kept ? instruction(Op.LOCAL_GET, fuel_local) : this.#get;
    return [
      fresh ? left : this.#get,
      ...price,
      plain(Op.I64_SUB),
      ...kept ? [
        instruction(Op.LOCAL_TEE, fuel_local)
      ] : [],
      this.#set,
      left,
      this.#constant(0),
      plain(Op.I64_LT_S),
      ...TRAP_IF
    ];
  }
  /** Pays a constant. */
  units(units, fuel_local = NO_LOCAL, fresh = true) {
    return this.#pay([
      this.#constant(units)
    ], fuel_local, fresh);
  }
  /**
   * Pays for the i32 in `local`, zero-extended; in i64, so that nothing overflows. Nothing, when it
   * is above what the code `most` leaves: then there is nothing that will be done.
   */
  size(local, { left, right }, fuel_local = NO_LOCAL, most) {
    const operand = [
      instruction(Op.LOCAL_GET, local),
      plain(Op.I64_EXTEND_I32_U)
    ];
    const price = [
      ...operand
    ];
    if (left > 0) price.push(this.#constant(left), plain(Op.I64_SHL));
    if (right > 0) {
      price.push(this.#constant(2 ** right - 1), plain(Op.I64_ADD));
      price.push(this.#constant(right), plain(Op.I64_SHR_U));
    }
    if (most !== void 0) {
      price.push(this.#constant(0), ...operand, ...most, plain(Op.I64_LE_U), plain(Op.SELECT));
    }
    return this.#pay(price, fuel_local, true);
  }
  /** Loads the units left into the local that keeps them. */
  reload(fuel_local) {
    return [
      this.#get,
      instruction(Op.LOCAL_SET, fuel_local)
    ];
  }
};
function enterFrame(target, slots) {
  return [
    instruction(Op.GLOBAL_GET, target.height),
    instruction(Op.I32_CONST, slots),
    plain(Op.I32_ADD),
    instruction(Op.GLOBAL_SET, target.height),
    instruction(Op.GLOBAL_GET, target.height),
    instruction(Op.I32_CONST, target.height_limit_slots),
    plain(Op.I32_GT_U),
    ...TRAP_IF
  ];
}
function leaveFrame(target, slots) {
  return [
    instruction(Op.GLOBAL_GET, target.height),
    instruction(Op.I32_CONST, slots),
    plain(Op.I32_SUB),
    instruction(Op.GLOBAL_SET, target.height)
  ];
}
function countsFrame(body, slots) {
  return slots > LEAF_SLOTS || body.code.some(({ op }) => isCall(op));
}
function isCall(op) {
  return op === Op.CALL || op === Op.CALL_INDIRECT;
}
function isOpener(op) {
  return op === Op.BLOCK || op === Op.LOOP || op === Op.IF;
}
function opAfter({ code }, index) {
  return code[index + 1]?.op ?? Op.END;
}
function extraLocals(body, first) {
  const groups = [];
  const take = (needed, type) => {
    if (!needed) return NO_LOCAL;
    groups.push({
      count: 1,
      type
    });
    return first + groups.length - 1;
  };
  const size = take(body.code.some(({ op }) => sizeRate(op) !== void 0), ValueType.I32);
  const fuel = take(body.code.some(({ op }) => op === Op.LOOP), ValueType.I64);
  const shown = new Set(body.code.map(({ op }, index) => shownNanType(op, opAfter(body, index))));
  const floats = [
    ValueType.F32,
    ValueType.F64
  ].filter((type) => shown.has(type));
  const canonical = new Map(floats.map((type) => [
    type,
    canonicalNan(type, take(true, type))
  ]));
  return {
    size,
    fuel,
    canonical,
    groups
  };
}
var Writer = class {
  #target;
  #code = [];
  #labels = [];
  #size_local;
  #fuel_local;
  #canonical;
  /** Whether the old body stands in a block of its own, so that `return` has to leave that. */
  #wrapped;
  #openers = 0;
  /** Blocks of the old code that are open. */
  #depth = 0;
  constructor(target, extra, wrapped) {
    this.#target = target;
    this.#size_local = extra.size;
    this.#fuel_local = extra.fuel;
    this.#canonical = extra.canonical;
    this.#wrapped = wrapped;
  }
  get code() {
    return this.#code;
  }
  get labels() {
    return this.#labels;
  }
  append(code) {
    for (const one of code) {
      if (isOpener(one.op)) this.#openers += 1;
      this.#code.push(one);
    }
  }
  /** One instruction of the old body, as it has to be now; `next` is the opcode after it. */
  translate(old, next) {
    if (isOpener(old.op)) {
      this.#labels.push(this.#openers);
      this.#depth += 1;
    } else if (old.op === Op.END) {
      this.#depth -= 1;
    }
    const rate = sizeRate(old.op);
    if (rate !== void 0) {
      this.append([
        instruction(Op.LOCAL_TEE, this.#size_local)
      ]);
      const { charges, sizeLimit } = this.#target;
      this.append(charges.size(this.#size_local, rate, this.#fuel_local, sizeLimit(old)));
    }
    this.append([
      this.#changed(old)
    ]);
    if (this.#fuel_local !== NO_LOCAL && isCall(old.op)) {
      this.append(this.#target.charges.reload(this.#fuel_local));
    }
    const nan_type = shownNanType(old.op, next);
    if (nan_type !== void 0) this.append(this.#canonical.get(nan_type) ?? []);
  }
  /** Pays for the block that starts here. */
  pay(units, at_entry) {
    this.append(this.#target.charges.units(units, this.#fuel_local, !at_entry));
  }
  #changed(old) {
    if (old.op === Op.CALL || old.op === Op.REF_FUNC) {
      return instruction(old.op, this.#target.redirect(old.a));
    }
    if (old.op === Op.RETURN && this.#wrapped) return instruction(Op.BR, this.#depth);
    return old;
  }
};
function meterBody(target, body, charges) {
  const type = target.types[body.type] ?? {
    parameters: [],
    results: []
  };
  const locals = type.parameters.length + declaredLocals(body);
  const slots = frameSlots(locals, body.facts.max_height, body.code.length);
  const wrapped = countsFrame(body, slots);
  const extra = extraLocals(body, locals);
  const writer = new Writer(target, extra, wrapped);
  let next = 0;
  const pay = (index) => {
    const charge2 = charges[next];
    if (charge2?.at !== index) return;
    writer.pay(charge2.units, index === 0);
    next += 1;
  };
  pay(0);
  if (wrapped) {
    writer.append(enterFrame(target, slots));
    writer.append([
      instruction(Op.BLOCK, target.resultBlock(type.results))
    ]);
  }
  body.code.forEach((old, index) => {
    if (index > 0) pay(index);
    writer.translate(old, opAfter(body, index));
  });
  if (wrapped) writer.append([
    ...leaveFrame(target, slots),
    plain(Op.END)
  ]);
  return {
    locals: [
      ...body.locals,
      ...extra.groups
    ],
    code: writer.code,
    labels: writer.labels
  };
}
function thunkCode(charges, import_index, parameters, lengths) {
  return [
    ...charges.units(IMPORT_UNITS + parameters.length),
    ...lengths.flatMap((local) => charges.size(local, {
      left: 0,
      right: 0
    })),
    ...parameters.map((_type, index) => instruction(Op.LOCAL_GET, index)),
    instruction(Op.CALL, import_index),
    plain(Op.END)
  ];
}

var FUNCTION_COMPILE_COST = 1e6;
var MODULE_COMPILE_COST = 1e7;
function controlConstructs(body, charges) {
  let count = charges.length;
  for (const { op, list } of body.code) {
    if (op === Op.BR_TABLE) count += 1 + list.length;
    else if (op >= Op.BLOCK && op <= Op.ELSE || op === Op.BR || op === Op.BR_IF) count += 1;
    else if (sizeRate(op) !== void 0) count += 1;
  }
  return count;
}
function compileCost(module, body, charges) {
  const parameters = module.types[body.type]?.parameters.length ?? 0;
  const values = parameters + declaredLocals(body) + body.facts.max_height;
  return values * controlConstructs(body, charges);
}
function checkCompileCost(cost, spent, function_index) {
  if (cost > FUNCTION_COMPILE_COST) {
    throw new PolicyModuleError("compile-cost", `Function ${function_index} is too complex to compile: ${cost} for (locals + operand height) \xD7 control constructs; at most ${FUNCTION_COMPILE_COST}. Split it, or use fewer locals.`);
  }
  if (spent + cost > MODULE_COMPILE_COST) {
    throw new PolicyModuleError("compile-cost", `The module is too complex to compile: functions up to ${function_index} sum to ${spent + cost} for (locals + operand height) \xD7 control constructs; at most ${MODULE_COMPILE_COST}.`);
  }
}
function limitMemory(limits, memory_limit_pages) {
  if (limits.minimum > memory_limit_pages) {
    throw new PolicyModuleError("memory-limit", `The memory starts with ${limits.minimum} pages of 64 KiB; at most ${memory_limit_pages} are allowed.`);
  }
  const maximum = Math.min(limits.maximum ?? memory_limit_pages, memory_limit_pages);
  return {
    minimum: limits.minimum,
    maximum
  };
}
function limitTables(module, table_entries) {
  const sum2 = module.tables.reduce((total, table) => total + table.limits.minimum, 0);
  if (sum2 > table_entries) {
    throw new PolicyModuleError("table-limit", `The tables start with ${sum2} entries together; at most ${table_entries} are allowed.`);
  }
  const room = Math.floor((table_entries - sum2) / Math.max(1, module.tables.length));
  return module.tables.map(({ limits }) => {
    const most = limits.minimum + room;
    return {
      minimum: limits.minimum,
      maximum: Math.min(limits.maximum ?? most, most)
    };
  });
}

var UTF8 = new TextDecoder("utf-8", {
  fatal: true,
  ignoreBOM: true
});
var Reader = class _Reader {
  bytes;
  end;
  work;
  /** Byte offset from the start of the module. */
  position;
  constructor(bytes, position, end, work) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
    this.work = work;
  }
  /** Whether everything has been read. */
  done() {
    return this.position >= this.end;
  }
  /** One byte. */
  u8() {
    const byte = this.position < this.end ? this.bytes[this.position] : void 0;
    if (byte === void 0) throw malformed("unexpected end of the bytes", this.position);
    this.position += 1;
    this.work.steps += 1;
    return byte;
  }
  /** The next byte without reading it; -1 at the end. */
  peek() {
    return this.position < this.end ? this.bytes[this.position] ?? -1 : -1;
  }
  /** An unsigned LEB128 of 32 bits. */
  u32() {
    const start = this.position;
    let value = 0;
    for (let at = 0; at < 4; at += 1) {
      const byte = this.u8();
      value |= (byte & 127) << 7 * at;
      if (byte < 128) return value;
    }
    const last2 = this.u8();
    if (last2 >= 128) throw malformed("an integer takes more than 5 bytes", start);
    if (last2 > 15) throw malformed("an integer does not fit into 32 bits", start);
    return (value | last2 << 28) >>> 0;
  }
  /** A signed LEB128 of 32 bits. */
  s32() {
    return this.#signed(120, 32) | 0;
  }
  /** A signed LEB128 of 33 bits: block types. */
  s33() {
    return this.#signed(112, 33);
  }
  /** `sign_mask` are the bits of a fifth byte that must all be like the sign. */
  #signed(sign_mask, bits) {
    const start = this.position;
    let value = 0;
    for (let at = 0; at < 5; at += 1) {
      const byte = this.u8();
      if (at === 4) {
        if (byte >= 128) throw malformed("an integer takes more than 5 bytes", start);
        const sign = byte & sign_mask;
        if (sign !== 0 && sign !== sign_mask) {
          throw malformed(`an integer does not fit into ${bits} bits`, start);
        }
      }
      value += (byte & 127) * 2 ** (7 * at);
      if (byte < 128) return byte & 64 ? value - 2 ** (7 * at + 7) : value;
    }
    return value;
  }
  /** A signed LEB128 of 64 bits. */
  s64() {
    const start = this.position;
    let low = 0;
    for (let at = 0; at < 7; at += 1) {
      const byte = this.u8();
      low += (byte & 127) * 2 ** (7 * at);
      if (byte < 128) return BigInt(byte & 64 ? low - 2 ** (7 * at + 7) : low);
    }
    let high = 0;
    for (let at = 0; at < 3; at += 1) {
      const byte = this.u8();
      if (at === 2 && byte >= 128) throw malformed("an integer takes more than 10 bytes", start);
      if (at === 2 && byte !== 0 && byte !== 127) {
        throw malformed("an integer does not fit into 64 bits", start);
      }
      high += (byte & 127) * 2 ** (7 * at);
      if (byte < 128) {
        if (byte & 64) high -= 2 ** (7 * at + 7);
        break;
      }
    }
    return BigInt.asIntN(64, (BigInt(high) << 49n) + BigInt(low));
  }
  /** Four bytes, little-endian, as an unsigned number: the bits of an f32. */
  bits32() {
    const [a, b, c, d] = [
      this.u8(),
      this.u8(),
      this.u8(),
      this.u8()
    ];
    return (a | b << 8 | c << 16 | d << 24) >>> 0;
  }
  /** Eight bytes, little-endian, as an unsigned number: the bits of an f64. */
  bits64() {
    const low = this.bits32();
    return BigInt(this.bits32()) << 32n | BigInt(low);
  }
  /** A view of the next `length` bytes. */
  take(length) {
    if (length > this.end - this.position) {
      throw malformed(`a length of ${length} goes past the end`, this.position);
    }
    const view = this.bytes.subarray(this.position, this.position + length);
    this.position += length;
    this.work.steps += length;
    return view;
  }
  /** A cursor over the next `length` bytes, which this one skips. */
  span(length) {
    if (length > this.end - this.position) {
      throw malformed(`a length of ${length} goes past the end`, this.position);
    }
    const inner = new _Reader(this.bytes, this.position, this.position + length, this.work);
    this.position += length;
    return inner;
  }
  /** A length and UTF-8 text of so many bytes. */
  text() {
    const start = this.position;
    const bytes = this.take(this.u32());
    try {
      return UTF8.decode(bytes);
    } catch {
      throw malformed("a name is not UTF-8", start);
    }
  }
  /** A count and so many items; each must read at least one byte, so a huge count ends at the end. */
  list(read) {
    const items = [];
    for (let left = this.u32(); left > 0; left -= 1) items.push(read());
    return items;
  }
  /** Throws unless everything has been read. */
  finish(what) {
    if (!this.done()) {
      throw malformed(`${what} is longer than its content`, this.position);
    }
  }
};

var UTF82 = new TextEncoder();
var Writer2 = class {
  #bytes;
  #length = 0;
  constructor(capacity_bytes = 1024) {
    this.#bytes = new Uint8Array(capacity_bytes);
  }
  /** Bytes written so far. */
  get length() {
    return this.#length;
  }
  /** A view of what was written; valid until the next write. */
  view() {
    return this.#bytes.subarray(0, this.#length);
  }
  /** Forgets what was written and keeps the buffer. */
  clear() {
    this.#length = 0;
  }
  #reserve(more) {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const wider = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    wider.set(this.view());
    this.#bytes = wider;
  }
  /** One byte. */
  u8(byte) {
    this.#reserve(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }
  /** Bytes as they are. */
  raw(bytes) {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
  /** An unsigned LEB128. @throws {TypeError} when it is no u32. */
  u32(value) {
    if (!Number.isInteger(value) || value < 0 || value > 4294967295) {
      throw new TypeError(`${value} is not an unsigned 32-bit integer`);
    }
    let rest = value;
    while (rest >= 128) {
      this.u8(rest & 127 | 128);
      rest = Math.floor(rest / 128);
    }
    this.u8(rest);
  }
  /** A signed LEB128 of up to 33 bits. @throws {TypeError} when it has more, or is no integer. */
  s33(value) {
    if (!Number.isInteger(value) || value < -(2 ** 32) || value >= 2 ** 32) {
      throw new TypeError(`${value} is not a signed 33-bit integer`);
    }
    let rest = value;
    while (rest < -64 || rest >= 64) {
      this.u8(rest & 127 | 128);
      rest = Math.floor(rest / 128);
    }
    this.u8(rest & 127);
  }
  /** A signed LEB128 of 64 bits. @throws {TypeError} when it has more. */
  s64(value) {
    if (BigInt.asIntN(64, value) !== value) {
      throw new TypeError(`${value} is not a signed 64-bit integer`);
    }
    let rest = value;
    while (rest < -0x40n || rest >= 0x40n) {
      this.u8(Number(rest & 0x7fn) | 128);
      rest >>= 7n;
    }
    this.u8(Number(rest & 0x7fn));
  }
  /** Four bytes, little-endian. */
  bits32(value) {
    for (let shift = 0; shift < 32; shift += 8) this.u8(value >>> shift & 255);
  }
  /** Eight bytes, little-endian. */
  bits64(value) {
    this.bits32(Number(value & 0xffffffffn));
    this.bits32(Number(value >> 32n & 0xffffffffn));
  }
  /** Length and bytes. */
  sized(bytes) {
    this.u32(bytes.length);
    this.raw(bytes);
  }
  /** Length and UTF-8. */
  text(text) {
    this.sized(UTF82.encode(text));
  }
  /** Count and items. */
  list(items, write2) {
    this.u32(items.length);
    items.forEach(write2);
  }
};

var LABELS = 3;
var DATA_SECTION = 11;
var CODE_OFFSETS = /^(\.debug_|reloc\.|metadata\.code\.)|^(linking|sourceMappingURL|external_debug_info)$/;
function countsCodeBytes(name) {
  return CODE_OFFSETS.test(name);
}
function readLabels(bytes) {
  const reader = new Reader(bytes, 0, bytes.length, {
    steps: 0
  });
  const functions = reader.list(() => {
    const function_index = reader.u32();
    const names = reader.list(() => {
      const label = reader.u32();
      return [
        label,
        reader.take(reader.u32())
      ];
    });
    return {
      function_index,
      names
    };
  });
  reader.finish("the label names");
  return functions;
}
function moveLabels(bytes, changes) {
  let functions;
  try {
    functions = readLabels(bytes);
  } catch (error2) {
    if (error2 instanceof WasmError) return void 0;
    throw error2;
  }
  const out = new Writer2();
  out.list(functions, ({ function_index, names }) => {
    const moved = names.flatMap(([label, name]) => {
      const now = changes.labels.get(function_index)?.[label];
      return now === void 0 ? [] : [
        [
          now,
          name
        ]
      ];
    });
    out.u32(function_index);
    out.list(moved, ([label, name]) => {
      out.u32(label);
      out.sized(name);
    });
  });
  return out.view();
}
function append(old, count, added) {
  if (old === void 0) return void 0;
  return [
    ...old.filter(([index]) => index < count),
    ...added
  ];
}
function moveNames(names, changes) {
  return {
    module: names.module,
    functions: append(names.functions, changes.function_count, changes.added_functions),
    globals: append(names.globals, changes.global_count, changes.added_globals),
    others: names.others.flatMap(({ id, bytes }) => {
      const moved = id === LABELS ? moveLabels(bytes, changes) : bytes;
      return moved === void 0 ? [] : [
        {
          id,
          bytes: moved
        }
      ];
    })
  };
}
function moveCustoms(customs, changes) {
  return customs.filter(({ name }) => !countsCodeBytes(name)).map((custom) => {
    const { names } = custom;
    if (names === void 0) return custom;
    return {
      ...custom,
      after: DATA_SECTION,
      names: moveNames(names, changes)
    };
  });
}

var MOST_PAGES = 65536;
var MOST_ENTRIES = 4294967295;
function constant(value) {
  return instruction(Op.I64_CONST, 0, 0, BigInt(value));
}
var PAGES = [
  plain(Op.MEMORY_SIZE),
  plain(Op.I64_EXTEND_I32_U)
];
var MEMORY_BYTES = [
  ...PAGES,
  constant(16),
  plain(Op.I64_SHL)
];
function entries(table) {
  return [
    instruction(Op.TABLE_SIZE, table),
    plain(Op.I64_EXTEND_I32_U)
  ];
}
function tableMaxima(module, defined) {
  const imported = module.imports.flatMap(({ description }) => description.kind === "table" ? [
    description.table.limits
  ] : []);
  return [
    ...imported,
    ...defined
  ].map(({ maximum = MOST_ENTRIES }) => maximum);
}
function memoryMaximum(module, defined) {
  const imported = module.imports.flatMap(({ description }) => description.kind === "memory" ? [
    description.limits
  ] : []);
  return [
    ...imported,
    ...defined
  ][0]?.maximum ?? MOST_PAGES;
}
function sizeLimits(module, memories2, tables) {
  const pages = memoryMaximum(module, memories2);
  const maxima = tableMaxima(module, tables);
  const counts = importCounts(module);
  if (maxima.length !== counts.table + module.tables.length) throw new TypeError("table limits");
  return ({ op, a }) => {
    switch (op) {
      case Op.MEMORY_GROW:
        return [
          constant(pages),
          ...PAGES,
          plain(Op.I64_SUB)
        ];
      case Op.TABLE_GROW:
        return [
          constant(maxima[a] ?? 0),
          ...entries(a),
          plain(Op.I64_SUB)
        ];
      case Op.TABLE_FILL:
      case Op.TABLE_COPY:
        return entries(a);
      case Op.TABLE_INIT: {
        const segment = module.elements[a];
        if (segment?.mode !== "passive") return [
          constant(0)
        ];
        const { items } = segment;
        return [
          constant(items.kind === "functions" ? items.indices.length : items.expressions.length)
        ];
      }
      case Op.MEMORY_INIT: {
        const segment = module.data[a];
        return [
          constant(segment?.mode === "passive" ? segment.bytes.length : 0)
        ];
      }
      default:
        return MEMORY_BYTES;
    }
  };
}

var BASE_UNITS2 = 1e3;
var GLOBAL_UNITS = 4;
var PAGE_UNITS = 4096;
var LASTING = /* @__PURE__ */ new Set([
  ...[
    Op.TABLE_SET,
    Op.TABLE_INIT,
    Op.TABLE_COPY,
    Op.TABLE_GROW,
    Op.TABLE_FILL
  ],
  ...[
    Op.ELEM_DROP,
    Op.DATA_DROP
  ]
]);
function writtenGlobals(module) {
  const first = importCounts(module).global;
  const written2 = /* @__PURE__ */ new Set();
  for (const { code } of module.functions) {
    for (const { op, a } of code) if (op === Op.GLOBAL_SET && a >= first) written2.add(a);
  }
  return [
    ...written2
  ].sort((a, b) => a - b);
}
function renewalOf(module, written2) {
  const lasts = module.functions.some(({ code }) => code.some(({ op }) => LASTING.has(op)));
  if (lasts) return {
    by: "instance"
  };
  const pages = module.memories.reduce((sum2, { limits }) => sum2 + limits.minimum, 0);
  return {
    by: "restore",
    units: BASE_UNITS2 + written2.length * GLOBAL_UNITS + pages * PAGE_UNITS
  };
}
function nothingOf(type) {
  switch (type) {
    case ValueType.I32:
      return instruction(Op.I32_CONST);
    case ValueType.I64:
      return instruction(Op.I64_CONST);
    case ValueType.F32:
      return instruction(Op.F32_CONST);
    case ValueType.F64:
      return instruction(Op.F64_CONST);
    case ValueType.FUNCREF:
    case ValueType.EXTERNREF:
      return instruction(Op.REF_NULL, type);
    default:
      return type;
  }
}
function savedGlobals(module, written2, first) {
  const imported = importCounts(module).global;
  const globals = written2.map((index) => {
    const { type } = module.globals[index - imported];
    return {
      type,
      mutable: true,
      init: [
        nothingOf(type)
      ],
      offset: 0
    };
  });
  const copies = (from, to) => [
    ...written2.flatMap((_, at) => [
      instruction(Op.GLOBAL_GET, from(at)),
      instruction(Op.GLOBAL_SET, to(at))
    ]),
    plain(Op.END)
  ];
  const own2 = (at) => written2[at];
  const saved = (at) => first + at;
  return {
    globals,
    save: copies(own2, saved),
    restore: copies(saved, own2)
  };
}

function importedFunctions(module) {
  return module.imports.flatMap((entry) => entry.description.kind === "function" ? [
    {
      entry,
      type: entry.description.type
    }
  ] : []);
}
var Types = class {
  list;
  /** Index of the first type without parameters, by its results. */
  #by_results = /* @__PURE__ */ new Map();
  constructor(types) {
    this.list = [
      ...types
    ];
    types.forEach(({ parameters, results }, index) => {
      const key = results.join();
      if (parameters.length > 0 || this.#by_results.has(key)) return;
      this.#by_results.set(key, index);
    });
  }
  /** The block type of a block that takes nothing and gives `results`. */
  resultBlock(results) {
    const [only] = results;
    if (only === void 0) return EMPTY_BLOCK;
    if (results.length === 1) return only - 128;
    return this.withoutParameters(results);
  }
  /** The type of a function without parameters. */
  withoutParameters(results) {
    const key = results.join();
    const found = this.#by_results.get(key);
    if (found !== void 0) return found;
    this.list.push({
      parameters: [],
      results
    });
    this.#by_results.set(key, this.list.length - 1);
    return this.list.length - 1;
  }
};
function redirectExpression(expression, redirect) {
  return expression.map((one) => one.op === Op.REF_FUNC ? instruction(one.op, redirect(one.a)) : one);
}
function redirectElement(segment, redirect) {
  const { items } = segment;
  return {
    ...segment,
    items: items.kind === "functions" ? {
      kind: items.kind,
      indices: items.indices.map(redirect)
    } : {
      kind: items.kind,
      expressions: items.expressions.map((one) => redirectExpression(one, redirect))
    }
  };
}
function reservedNames({ saved_globals }) {
  const always = [
    FUEL_EXPORT,
    HEIGHT_EXPORT
  ];
  return saved_globals === void 0 ? always : [
    ...always,
    SAVE_EXPORT,
    RESTORE_EXPORT
  ];
}
function exportsOf(module, target, options) {
  const reserved = reservedNames(options);
  for (const { name } of module.exports) {
    if (!reserved.includes(name)) continue;
    throw new PolicyModuleError("reserved-export", `The export name "${name}" is reserved.`);
  }
  const old = module.exports.map((one) => one.kind === "function" ? {
    ...one,
    index: target.redirect(one.index)
  } : one);
  const first = importCounts(module).function * 2 + module.functions.length;
  const functions = reserved.slice(2).map((name, at) => ({
    ...{
      name,
      kind: "function",
      index: first + at,
      offset: 0
    }
  }));
  return [
    ...old,
    {
      name: FUEL_EXPORT,
      kind: "global",
      index: target.fuel,
      offset: 0
    },
    {
      name: HEIGHT_EXPORT,
      kind: "global",
      index: target.height,
      offset: 0
    },
    ...functions
  ];
}
function written(type, code) {
  const offsets = new Uint32Array();
  return {
    type,
    locals: [],
    code,
    offsets,
    offset: 0,
    size_bytes: 0,
    facts: NO_FACTS
  };
}
function saving(module, types, target, { saved_globals }) {
  if (saved_globals === void 0) return {
    globals: [],
    functions: []
  };
  const { globals, save, restore } = savedGlobals(module, saved_globals, target.height + 1);
  const type = types.withoutParameters([]);
  return {
    globals,
    functions: [
      written(type, save),
      written(type, restore)
    ]
  };
}
function thunk(target, imported, import_index) {
  const { module, name } = imported.entry;
  const parameters = target.types[imported.type]?.parameters ?? [];
  const lengths = lengthParameters(module, name, parameters);
  return written(imported.type, thunkCode(target.charges, import_index, parameters, lengths));
}
function checkedCharges(module) {
  const first = importCounts(module).function;
  let spent = 0;
  const charges = module.functions.map((body, at) => {
    const found = blockCharges(module, body);
    const cost = compileCost(module, body, found);
    checkCompileCost(cost, spent, first + at);
    spent += cost;
    return found;
  });
  return {
    charges,
    compile_cost: spent
  };
}
function codeTarget(module, types, room, options) {
  const counts = importCounts(module);
  const globals = counts.global + module.globals.length;
  const functions = counts.function + module.functions.length;
  return {
    types: types.list,
    fuel: globals,
    charges: new Charges(globals),
    height: globals + 1,
    height_limit_slots: options.height_limit_slots,
    redirect: (index) => index < counts.function ? functions + index : index,
    sizeLimit: sizeLimits(module, room.memories, room.tables),
    resultBlock: (results) => types.resultBlock(results)
  };
}
function customsOf(module, target, imported, labels) {
  return moveCustoms(module.customs, {
    function_count: imported.length + module.functions.length,
    global_count: target.fuel,
    added_functions: imported.map(({ entry }, at) => [
      target.redirect(at),
      `${entry.name} (paid)`
    ]),
    added_globals: [
      [
        target.fuel,
        FUEL_EXPORT
      ],
      [
        target.height,
        HEIGHT_EXPORT
      ]
    ],
    labels
  });
}
function rewriteModule(module, options) {
  const { charges, compile_cost } = checkedCharges(module);
  const tables = limitTables(module, options.table_entries);
  const memories2 = module.memories.map(({ limits }) => limitMemory(limits, options.memory_limit_pages));
  const types = new Types(module.types);
  const target = codeTarget(module, types, {
    memories: memories2,
    tables
  }, options);
  const imported = importedFunctions(module);
  const labels = /* @__PURE__ */ new Map();
  const functions = module.functions.map((body, at) => {
    const metered = meterBody(target, body, charges[at] ?? []);
    labels.set(imported.length + at, metered.labels);
    return {
      ...body,
      locals: metered.locals,
      code: metered.code
    };
  });
  const saved = saving(module, types, target, options);
  const { I32, I64 } = ValueType;
  const fuel = [
    instruction(Op.I64_CONST, 0, 0, options.initial_fuel_units)
  ];
  const rewritten = {
    ...module,
    types: types.list,
    functions: [
      ...functions,
      ...imported.map((one, at) => thunk(target, one, at)),
      ...saved.functions
    ],
    tables: module.tables.map((table, at) => ({
      ...table,
      limits: tables[at] ?? table.limits
    })),
    memories: module.memories.map((memory, at) => ({
      ...memory,
      limits: memories2[at] ?? memory.limits
    })),
    globals: [
      ...module.globals.map((one) => ({
        ...one,
        init: redirectExpression(one.init, target.redirect)
      })),
      {
        type: I64,
        mutable: true,
        init: fuel,
        offset: 0
      },
      {
        type: I32,
        mutable: true,
        init: [
          instruction(Op.I32_CONST)
        ],
        offset: 0
      },
      ...saved.globals
    ],
    exports: exportsOf(module, target, options),
    start: module.start === void 0 ? void 0 : target.redirect(module.start),
    elements: module.elements.map((segment) => redirectElement(segment, target.redirect)),
    customs: customsOf(module, target, imported, labels)
  };
  return {
    module: rewritten,
    compile_cost
  };
}

var OPCODE_FEATURES = [
  [
    6,
    10,
    "exceptions"
  ],
  [
    18,
    19,
    "tail calls"
  ],
  [
    20,
    20,
    "typed function references"
  ],
  [
    21,
    21,
    "tail calls"
  ],
  [
    24,
    25,
    "exceptions"
  ],
  [
    31,
    31,
    "exceptions"
  ],
  [
    211,
    211,
    "GC"
  ],
  [
    212,
    214,
    "typed function references"
  ],
  [
    224,
    230,
    "stack switching"
  ],
  [
    251,
    251,
    "GC"
  ],
  [
    253,
    253,
    "SIMD"
  ],
  [
    254,
    254,
    "threads"
  ]
];
var SUB_OPCODE_FEATURES = [
  [
    18,
    18,
    "memory control"
  ],
  [
    19,
    22,
    "wide arithmetic"
  ],
  [
    48,
    49,
    "half precision"
  ]
];
var VALUE_TYPE_FEATURES = [
  [
    123,
    123,
    "SIMD"
  ],
  [
    119,
    120,
    "GC"
  ],
  [
    117,
    117,
    "stack switching"
  ],
  [
    116,
    116,
    "exceptions"
  ],
  [
    113,
    115,
    "GC"
  ],
  [
    106,
    110,
    "GC"
  ],
  [
    105,
    105,
    "exceptions"
  ],
  [
    104,
    104,
    "stack switching"
  ],
  [
    101,
    103,
    "stringref"
  ],
  [
    97,
    100,
    "typed function references"
  ]
];
var TYPE_FORM_FEATURES = [
  [
    101,
    101,
    "threads"
  ],
  [
    94,
    95,
    "GC"
  ],
  [
    93,
    93,
    "stack switching"
  ],
  [
    76,
    80,
    "GC"
  ]
];
var SECTION_FEATURES = [
  [
    13,
    13,
    "exceptions"
  ],
  [
    14,
    14,
    "stringref"
  ]
];
function lookUp(table, code) {
  return table.find(([first, last2]) => code >= first && code <= last2)?.[2];
}
function refuse(table, what, code, offset) {
  const feature = lookUp(table, code);
  const named = `${what} 0x${code.toString(16).padStart(2, "0")}`;
  return feature === void 0 ? malformed(`there is no ${named}`, offset) : unsupported(feature, named, offset);
}
function unknownOpcode(byte, offset) {
  return refuse(OPCODE_FEATURES, "opcode", byte, offset);
}
function unknownSubOpcode(number3, offset) {
  return refuse(SUB_OPCODE_FEATURES, "opcode 0xfc", number3, offset);
}
function vectorOpcode(number3, offset) {
  const feature = number3 >= 256 ? "relaxed SIMD" : "SIMD";
  return unsupported(feature, `opcode 0xfd 0x${number3.toString(16)}`, offset);
}
function unknownValueType(byte, offset) {
  return refuse(VALUE_TYPE_FEATURES, "value type", byte, offset);
}
function unknownTypeForm(byte, offset) {
  return refuse(TYPE_FORM_FEATURES, "type form", byte, offset);
}
function unknownSection(id, offset) {
  return refuse(SECTION_FEATURES, "section", id, offset);
}

var VALUE_TYPES = new Set(Object.values(ValueType));
var FUNCTION_FORM = 96;
function isValueType(byte) {
  return VALUE_TYPES.has(byte);
}
function readValueType(reader) {
  const offset = reader.position;
  const byte = reader.u8();
  if (isValueType(byte)) return byte;
  throw unknownValueType(byte, offset);
}
function readReferenceType(reader) {
  const offset = reader.position;
  const byte = reader.u8();
  if (byte === ValueType.FUNCREF || byte === ValueType.EXTERNREF) return byte;
  if (isValueType(byte)) throw malformed("a number type stands for a reference type", offset);
  throw unknownValueType(byte, offset);
}
function readNullType(reader) {
  if (reader.peek() >= 0 && reader.peek() < 64) {
    throw unsupported("typed function references", "ref.null of a defined type", reader.position);
  }
  return readReferenceType(reader);
}
function readFunctionType(reader, limits) {
  const offset = reader.position;
  const form = reader.u8();
  if (form !== FUNCTION_FORM) throw unknownTypeForm(form, offset);
  const parameters = reader.list(() => readValueType(reader));
  const results = reader.list(() => readValueType(reader));
  if (parameters.length > limits.parameters) {
    throw overLimit(`a function type has ${parameters.length} parameters; ${limits.parameters} are allowed`, offset);
  }
  if (results.length > limits.results) {
    throw overLimit(`a function type has ${results.length} results; ${limits.results} are allowed`, offset);
  }
  return {
    parameters,
    results
  };
}
function readLimits(reader, what) {
  const offset = reader.position;
  const flags = reader.u8();
  if (flags > 15) throw malformed(`the limits of a ${what} have unknown flags`, offset);
  if (flags & 8) throw unsupported("custom page sizes", `a ${what} with a page size`, offset);
  if (flags & 4) throw unsupported("memory64", `a ${what} with 64-bit indices`, offset);
  if (flags & 2) throw unsupported("shared memory", `a shared ${what}`, offset);
  const minimum = reader.u32();
  return {
    minimum,
    maximum: flags & 1 ? reader.u32() : void 0
  };
}
function readTableType(reader) {
  const offset = reader.position;
  if (reader.peek() === 64) {
    throw unsupported("typed function references", "a table with an initial value", offset);
  }
  const type = readReferenceType(reader);
  return {
    type,
    limits: readLimits(reader, "table")
  };
}
function readGlobalType(reader) {
  const type = readValueType(reader);
  const offset = reader.position;
  const mutability = reader.u8();
  if (mutability === 2 || mutability === 3) throw unsupported("threads", "a shared global", offset);
  if (mutability > 3) throw malformed("mutability is neither 0 nor 1", offset);
  return {
    type,
    mutable: mutability === 1
  };
}

var VECTOR_PREFIX = 253;
var MAX_ALIGNMENT = 32;
var MEMORY_INDEX_FLAG = 64;
function readOpcode(reader) {
  const offset = reader.position;
  const byte = reader.u8();
  if (byte === VECTOR_PREFIX) throw vectorOpcode(reader.u32(), offset);
  if (byte !== PREFIX) {
    const entry2 = OPCODES.get(byte);
    if (entry2 === void 0) throw unknownOpcode(byte, offset);
    return {
      op: byte,
      entry: entry2
    };
  }
  const number3 = reader.u32();
  const op = 64512 + number3;
  const entry = OPCODES.get(op);
  if (entry === void 0) throw unknownSubOpcode(number3, offset);
  return {
    op,
    entry
  };
}
function readBlockType(reader) {
  const offset = reader.position;
  const byte = reader.peek();
  if (byte === EMPTY_BLOCK + 128) {
    reader.u8();
    return EMPTY_BLOCK;
  }
  if (byte >= 64 && byte < 128) {
    if (!isValueType(byte)) throw unknownValueType(byte, offset);
    reader.u8();
    return byte - 128;
  }
  const index = reader.s33();
  if (index < 0) throw malformed("a block type is a negative index", offset);
  return index;
}
function readMemoryZero(reader, name) {
  const offset = reader.position;
  if (reader.u8() !== 0) throw unsupported("several memories", `${name} of another memory`, offset);
}
function readMemoryAccess(reader, op, name) {
  const offset = reader.position;
  const alignment = reader.u32();
  if (alignment >= MEMORY_INDEX_FLAG && alignment < MEMORY_INDEX_FLAG + MAX_ALIGNMENT) {
    throw unsupported("several memories", `${name} with a memory index`, offset);
  }
  if (alignment >= MAX_ALIGNMENT) throw malformed("an alignment is too large", offset);
  return instruction(op, alignment, reader.u32());
}
function readPair(reader, op, name, immediate) {
  switch (immediate) {
    case "index2": {
      const first = reader.u32();
      return instruction(op, first, reader.u32());
    }
    case "index-zero": {
      const index = reader.u32();
      readMemoryZero(reader, name);
      return instruction(op, index);
    }
    case "zero2":
      readMemoryZero(reader, name);
      readMemoryZero(reader, name);
      return plain(op);
    default:
      return immediate;
  }
}
function readOperands(reader, { op, entry }) {
  switch (entry.immediate) {
    case "none":
      return plain(op);
    case "block":
      return instruction(op, readBlockType(reader));
    case "index":
      return instruction(op, reader.u32());
    case "labels": {
      const labels = reader.list(() => reader.u32());
      return instruction(op, reader.u32(), 0, 0n, labels);
    }
    case "types":
      return instruction(op, 0, 0, 0n, reader.list(() => readValueType(reader)));
    case "memory-access":
      return readMemoryAccess(reader, op, entry.name);
    case "zero":
      readMemoryZero(reader, entry.name);
      return plain(op);
    case "reference-type":
      return instruction(op, readNullType(reader));
    case "i32":
      return instruction(op, reader.s32());
    case "i64":
      return instruction(op, 0, 0, reader.s64());
    case "f32":
      return instruction(op, reader.bits32());
    case "f64":
      return instruction(op, 0, 0, reader.bits64());
    case "index2":
    case "index-zero":
    case "zero2":
      return readPair(reader, op, entry.name, entry.immediate);
    default:
      return entry.immediate;
  }
}
function readSequence(reader, nesting_limit) {
  const code = [];
  const offsets = [];
  const open2 = [];
  while (true) {
    const offset = reader.position;
    const opcode = readOpcode(reader);
    const read = readOperands(reader, opcode);
    code.push(read);
    offsets.push(offset);
    const { op } = opcode;
    if (op === Op.BLOCK || op === Op.LOOP || op === Op.IF) {
      if (open2.length >= nesting_limit) {
        throw overLimit(`blocks nest deeper than ${nesting_limit}`, offset);
      }
      open2.push(op);
    } else if (op === Op.ELSE) {
      if (open2.at(-1) !== Op.IF) throw malformed("an else without an if", offset);
      open2[open2.length - 1] = Op.ELSE;
    } else if (op === Op.END) {
      if (open2.pop() === void 0) return {
        code,
        offsets
      };
    }
  }
}
function readConstExpression(reader, limits) {
  const { code } = readSequence(reader, limits.nesting);
  code.pop();
  return code;
}
function readLocals(reader, limits) {
  const offset = reader.position;
  let total = 0;
  const groups = reader.list(() => {
    const count = reader.u32();
    total += count;
    return {
      count,
      type: readValueType(reader)
    };
  });
  if (total > 4294967295) throw malformed("a function has more than 2^32 - 1 locals", offset);
  if (total > limits.locals) {
    throw overLimit(`a function has ${total} locals; ${limits.locals} are allowed`, offset);
  }
  return groups;
}
function readBody(reader, limits) {
  const size_offset = reader.position;
  const size_bytes = reader.u32();
  if (size_bytes > reader.end - reader.position) {
    throw malformed(`a function body of ${size_bytes} bytes goes past the end`, size_offset);
  }
  if (size_bytes > limits.body_bytes) {
    const allowed = limits.body_bytes;
    throw overLimit(`a function body has ${size_bytes} bytes; ${allowed} are allowed`, size_offset);
  }
  const offset = reader.position;
  const body = reader.span(size_bytes);
  const locals = readLocals(body, limits);
  const { code, offsets } = readSequence(body, limits.nesting);
  body.finish("a function body");
  return {
    locals,
    code,
    offsets: Uint32Array.from(offsets),
    offset,
    size_bytes
  };
}

var KINDS = [
  "function",
  "table",
  "memory",
  "global"
];
var TAG_KIND = 4;
var COMPACT_KINDS = [
  126,
  127
];
function readKind(reader, what) {
  const offset = reader.position;
  const byte = reader.u8();
  const kind = KINDS[byte];
  if (kind !== void 0) return kind;
  if (byte === TAG_KIND) throw unsupported("exceptions", `an ${what} of a tag`, offset);
  if (COMPACT_KINDS.includes(byte) && what === "import") {
    throw unsupported("compact imports", "a group of imports", offset);
  }
  throw malformed(`an ${what} has the unknown kind ${byte}`, offset);
}
function readDescription(reader) {
  const kind = readKind(reader, "import");
  switch (kind) {
    case "function":
      return {
        kind,
        type: reader.u32()
      };
    case "table":
      return {
        kind,
        table: readTableType(reader)
      };
    case "memory":
      return {
        kind,
        limits: readLimits(reader, "memory")
      };
    case "global":
      return {
        kind,
        global: readGlobalType(reader)
      };
    default:
      return kind;
  }
}
function readImport(reader) {
  const offset = reader.position;
  const module = reader.text();
  const name = reader.text();
  return {
    module,
    name,
    description: readDescription(reader),
    offset
  };
}
function readExport(reader) {
  const offset = reader.position;
  const name = reader.text();
  const kind = readKind(reader, "export");
  return {
    name,
    kind,
    index: reader.u32(),
    offset
  };
}
var ElementFlag = {
  NOT_ACTIVE: 1,
  EXPLICIT: 2,
  EXPRESSIONS: 4
};
function elementMode(flags) {
  if (!(flags & ElementFlag.NOT_ACTIVE)) return "active";
  return flags & ElementFlag.EXPLICIT ? "declarative" : "passive";
}
function readElementKind(reader) {
  const offset = reader.position;
  if (reader.u8() !== 0) throw malformed("an element segment of an unknown kind", offset);
  return ValueType.FUNCREF;
}
function readElementItems(reader, flags, limits) {
  if (flags & ElementFlag.EXPRESSIONS) {
    const expressions = reader.list(() => readConstExpression(reader, limits));
    return {
      kind: "expressions",
      expressions
    };
  }
  return {
    kind: "functions",
    indices: reader.list(() => reader.u32())
  };
}
function readElement(reader, limits) {
  const offset = reader.position;
  const flags = reader.u32();
  if (flags > 7) throw malformed("an element segment has unknown flags", offset);
  const mode = elementMode(flags);
  const explicit = mode === "active" && (flags & ElementFlag.EXPLICIT) !== 0;
  const table = explicit ? reader.u32() : 0;
  const at = mode === "active" ? readConstExpression(reader, limits) : [];
  let type = ValueType.FUNCREF;
  if (mode !== "active" || explicit) {
    type = flags & ElementFlag.EXPRESSIONS ? readReferenceType(reader) : readElementKind(reader);
  }
  return {
    mode,
    table,
    at,
    type,
    items: readElementItems(reader, flags, limits),
    explicit,
    offset
  };
}
function readData(reader, limits) {
  const offset = reader.position;
  const flags = reader.u32();
  if (flags > 2) throw malformed("a data segment has unknown flags", offset);
  const explicit = flags === 2;
  if (explicit && reader.u32() !== 0) {
    throw unsupported("several memories", "a data segment of another memory", offset);
  }
  const at = flags === 1 ? [] : readConstExpression(reader, limits);
  const bytes = reader.take(reader.u32());
  return {
    mode: flags === 1 ? "passive" : "active",
    at,
    bytes,
    explicit,
    offset
  };
}
function readFunctionSection(reader, limits) {
  const offset = reader.position;
  const types = reader.list(() => reader.u32());
  if (types.length > limits.functions) {
    const allowed = limits.functions;
    throw overLimit(`the module has ${types.length} functions; ${allowed} are allowed`, offset);
  }
  return types;
}
function readCodeSection(reader, into, limits) {
  const offset = reader.position;
  const count = reader.u32();
  if (count !== into.function_types.length) {
    throw malformed("functions and bodies are not equally many", offset);
  }
  into.bodies = into.function_types.map(() => readBody(reader, limits));
}
function readDataSection(reader, into, limits) {
  const offset = reader.position;
  into.data = reader.list(() => readData(reader, limits));
  if (into.data_count !== void 0 && into.data_count !== into.data.length) {
    throw malformed("the data count is not the number of data segments", offset);
  }
}
function withOffset(reader, read) {
  return reader.list(() => ({
    offset: reader.position,
    ...read(reader)
  }));
}
var SECTIONS = [
  {
    id: 1,
    read: (r, into, limits) => into.types = r.list(() => readFunctionType(r, limits))
  },
  {
    id: 2,
    read: (r, into) => into.imports = r.list(() => readImport(r))
  },
  {
    id: 3,
    read: (r, into, limits) => into.function_types = readFunctionSection(r, limits)
  },
  {
    id: 4,
    read: (r, into) => into.tables = withOffset(r, readTableType)
  },
  {
    id: 5,
    read: (r, into) => into.memories = withOffset(r, (reader) => ({
      limits: readLimits(reader, "memory")
    }))
  },
  {
    id: 6,
    read: (r, into, limits) => into.globals = withOffset(r, (reader) => {
      const type = readGlobalType(reader);
      return {
        ...type,
        init: readConstExpression(reader, limits)
      };
    })
  },
  {
    id: 7,
    read: (r, into) => into.exports = r.list(() => readExport(r))
  },
  {
    id: 8,
    read: (r, into) => into.start = r.u32()
  },
  {
    id: 9,
    read: (r, into, limits) => into.elements = r.list(() => readElement(r, limits))
  },
  {
    id: 12,
    read: (r, into) => into.data_count = r.u32()
  },
  {
    id: 10,
    read: readCodeSection
  },
  {
    id: 11,
    read: readDataSection
  }
];

var NameSubsection = {
  MODULE: 0,
  FUNCTIONS: 1,
  GLOBALS: 7
};
function readNameMap(reader) {
  return reader.list(() => {
    const index = reader.u32();
    return [
      index,
      reader.text()
    ];
  });
}
function readSubsections(reader) {
  let module;
  let functions;
  let globals;
  const others = [];
  let last2 = -1;
  while (!reader.done()) {
    const id = reader.u8();
    if (id <= last2) return void 0;
    last2 = id;
    const content = reader.span(reader.u32());
    if (id === NameSubsection.MODULE) module = content.text();
    else if (id === NameSubsection.FUNCTIONS) functions = readNameMap(content);
    else if (id === NameSubsection.GLOBALS) globals = readNameMap(content);
    else others.push({
      id,
      bytes: content.take(content.end - content.position)
    });
    content.finish("a subsection of the name section");
  }
  return {
    module,
    functions,
    globals,
    others
  };
}
function decodeNames(bytes, work) {
  try {
    return readSubsections(new Reader(bytes, 0, bytes.length, work));
  } catch (error2) {
    if (error2 instanceof WasmError) return void 0;
    throw error2;
  }
}

var UNKNOWN = 0;
var OperandStack = class {
  #types = new Uint8Array(64);
  #work;
  /** Values on the stack. */
  height = 0;
  /** The greatest height since `reset`. */
  max_height = 0;
  /** Where the innermost block's operands start; nothing below may be taken. */
  base = 0;
  /** Whether the innermost block is behind a branch, so that anything may be taken at its base. */
  polymorphic = false;
  constructor(work) {
    this.#work = work;
  }
  /** Empties it. */
  reset() {
    this.height = 0;
    this.max_height = 0;
    this.base = 0;
    this.polymorphic = false;
  }
  /** Puts one value on top. */
  push(type) {
    if (this.height === this.#types.length) {
      const wider = new Uint8Array(2 * this.height);
      wider.set(this.#types);
      this.#types = wider;
    }
    this.#types[this.height] = type;
    this.height += 1;
    this.#work.steps += 1;
    if (this.height > this.max_height) this.max_height = this.height;
  }
  /** Puts values on top, the last one uppermost. */
  pushAll(types) {
    for (const type of types) this.push(type);
  }
  /** Takes the top value, whatever it is. */
  popAny(offset) {
    this.#work.steps += 1;
    if (this.height === this.base) {
      if (this.polymorphic) return UNKNOWN;
      throw invalid("an instruction takes a value where there is none", offset);
    }
    this.height -= 1;
    return this.#typeAt(this.height);
  }
  /** Takes a value of one type. */
  pop(expected, offset) {
    const actual = this.popAny(offset);
    this.#agree(actual, expected, offset);
    return actual;
  }
  /** Takes values, the last one first. */
  popAll(types, offset) {
    for (let at = types.length - 1; at >= 0; at -= 1) this.pop(types[at] ?? UNKNOWN, offset);
  }
  /** Whether these values could be taken; takes none. */
  checkAll(types, offset) {
    for (let taken = 1; taken <= types.length; taken += 1) {
      this.#work.steps += 1;
      const expected = types[types.length - taken] ?? UNKNOWN;
      const place = this.height - taken;
      if (place >= this.base) this.#agree(this.#typeAt(place), expected, offset);
      else if (!this.polymorphic) {
        throw invalid("a branch carries more values than there are", offset);
      }
    }
  }
  /** Control does not come past this point of the innermost block. */
  cut() {
    this.height = this.base;
    this.polymorphic = true;
  }
  #typeAt(place) {
    return this.#types[place] ?? UNKNOWN;
  }
  #agree(actual, expected, offset) {
    if (actual === expected || actual === UNKNOWN || expected === UNKNOWN) return;
    const [found, needed] = [
      VALUE_TYPE_NAMES[actual],
      VALUE_TYPE_NAMES[expected]
    ];
    throw invalid(`a value is ${found} where ${needed} is needed`, offset);
  }
};

var LocalTypes = class {
  /** Behind the last index of each run, and the run's type. */
  #ends = [];
  #types = [];
  #work;
  constructor(parameters, groups, work) {
    this.#work = work;
    for (const type of parameters) this.#add(1, type);
    for (const { count, type } of groups) this.#add(count, type);
  }
  #add(count, type) {
    this.#work.steps += 1;
    this.#ends.push((this.#ends.at(-1) ?? 0) + count);
    this.#types.push(type);
  }
  /** @throws {WasmError} when there is no such local. */
  at(index, offset) {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      this.#work.steps += 1;
      const middle = low + high >>> 1;
      if (index < (this.#ends[middle] ?? 0)) high = middle;
      else low = middle + 1;
    }
    const type = this.#types[low];
    if (type === void 0) throw invalid(`there is no local ${index}`, offset);
    return type;
  }
};
function globalAt(context, index, offset) {
  const global = context.globals[index];
  if (global === void 0) throw invalid(`there is no global ${index}`, offset);
  return global;
}
function tableAt(context, index, offset) {
  const table = context.tables[index];
  if (table === void 0) throw invalid(`there is no table ${index}`, offset);
  return table;
}
function elementTypeAt(context, index, offset) {
  const type = context.element_types[index];
  if (type === void 0) throw invalid(`there is no element segment ${index}`, offset);
  return type;
}
function isReference(type) {
  return type === ValueType.FUNCREF || type === ValueType.EXTERNREF;
}
function checkCall({ op, a, b }, { stack, context, offset }) {
  const indirect = op === Op.CALL_INDIRECT;
  const type = indirect ? context.types[a] : context.functions[a];
  if (type === void 0) {
    throw invalid(`there is no ${indirect ? "type" : "function"} ${a}`, offset);
  }
  if (indirect) {
    if (tableAt(context, b, offset).type !== ValueType.FUNCREF) {
      throw invalid("a call goes through a table that holds no functions", offset);
    }
    stack.pop(ValueType.I32, offset);
  }
  stack.popAll(type.parameters, offset);
  stack.pushAll(type.results);
}
function checkSelect({ op, list }, { stack, offset }) {
  stack.pop(ValueType.I32, offset);
  if (op === Op.SELECT_TYPED) {
    const type = list[0];
    if (list.length !== 1 || type === void 0) {
      throw invalid(`a select names ${list.length} types instead of one`, offset);
    }
    stack.pop(type, offset);
    stack.pop(type, offset);
    stack.push(type);
    return;
  }
  const second = stack.popAny(offset);
  const first = stack.pop(second, offset);
  if (isReference(first) || isReference(second)) {
    throw invalid("a select of references names no type", offset);
  }
  stack.push(first === UNKNOWN ? second : first);
}
function checkVariable({ op, a }, place) {
  const { stack, context, offset } = place;
  if (op === Op.GLOBAL_GET) {
    stack.push(globalAt(context, a, offset).type);
  } else if (op === Op.GLOBAL_SET) {
    const global = globalAt(context, a, offset);
    if (!global.mutable) throw invalid(`global ${a} is a constant`, offset);
    stack.pop(global.type, offset);
  } else {
    const type = place.locals.at(a, offset);
    if (op !== Op.LOCAL_GET) stack.pop(type, offset);
    if (op !== Op.LOCAL_SET) stack.push(type);
  }
}
function checkReference({ op, a }, { stack, context, offset }) {
  if (op === Op.REF_NULL) {
    stack.push(a);
  } else if (op === Op.REF_IS_NULL) {
    const type = stack.popAny(offset);
    if (type !== UNKNOWN && !isReference(type)) {
      throw invalid("ref.is_null takes a number", offset);
    }
    stack.push(ValueType.I32);
  } else {
    if (a >= context.functions.length) throw invalid(`there is no function ${a}`, offset);
    if (!context.declared.has(a)) {
      throw invalid(`function ${a} is referred to but not declared`, offset);
    }
    stack.push(ValueType.FUNCREF);
  }
}
function checkTable({ op, a }, { stack, context, offset }) {
  const { type } = tableAt(context, a, offset);
  if (op === Op.TABLE_FILL || op === Op.TABLE_GROW) stack.pop(ValueType.I32, offset);
  if (op === Op.TABLE_SET || op === Op.TABLE_FILL || op === Op.TABLE_GROW) stack.pop(type, offset);
  if (op === Op.TABLE_GET || op === Op.TABLE_SET || op === Op.TABLE_FILL) {
    stack.pop(ValueType.I32, offset);
  }
  if (op === Op.TABLE_GET) stack.push(type);
  if (op === Op.TABLE_SIZE || op === Op.TABLE_GROW) stack.push(ValueType.I32);
}
function checkSegmentUse({ op, a, b }, { stack, context, offset }) {
  if (op === Op.ELEM_DROP) {
    elementTypeAt(context, a, offset);
    return;
  }
  const from = op === Op.TABLE_COPY ? tableAt(context, b, offset).type : elementTypeAt(context, a, offset);
  const to = tableAt(context, op === Op.TABLE_COPY ? a : b, offset).type;
  if (from !== to) throw invalid("a table is filled with references of another type", offset);
  for (let taken = 0; taken < 3; taken += 1) stack.pop(ValueType.I32, offset);
}
function checkMemory({ op, a }, entry, context, offset) {
  if (op === Op.MEMORY_INIT || op === Op.DATA_DROP) {
    if (context.data_count === void 0) {
      throw malformed(`${entry.name} needs a data count section`, offset);
    }
    if (a >= context.data_count) throw invalid(`there is no data segment ${a}`, offset);
  }
  if (op !== Op.DATA_DROP && context.memories === 0) {
    throw invalid(`${entry.name} without a memory`, offset);
  }
  if (entry.access >= 0 && a > entry.access) {
    throw invalid(`${entry.name} is aligned to more than its size`, offset);
  }
}
function touchesMemory(op) {
  return op >= Op.I32_LOAD && op <= Op.MEMORY_GROW || op >= Op.MEMORY_INIT && op <= Op.MEMORY_FILL;
}
function checkStraight(instruction2, entry, stack, context, locals, offset) {
  const { op } = instruction2;
  if (entry.signature !== void 0) {
    if (touchesMemory(op)) checkMemory(instruction2, entry, context, offset);
    stack.popAll(entry.signature.parameters, offset);
    stack.pushAll(entry.signature.results);
    return;
  }
  const place = {
    stack,
    context,
    locals,
    offset
  };
  if (op === Op.CALL || op === Op.CALL_INDIRECT) checkCall(instruction2, place);
  else if (op === Op.DROP) stack.popAny(offset);
  else if (op === Op.SELECT || op === Op.SELECT_TYPED) checkSelect(instruction2, place);
  else if (op >= Op.LOCAL_GET && op <= Op.GLOBAL_SET) checkVariable(instruction2, place);
  else if (op >= Op.REF_NULL && op <= Op.REF_FUNC) checkReference(instruction2, place);
  else if (op === Op.TABLE_INIT || op === Op.ELEM_DROP || op === Op.TABLE_COPY) {
    checkSegmentUse(instruction2, place);
  } else checkTable(instruction2, place);
}

var NO_VALUES = {
  parameters: [],
  results: []
};
var ONE_RESULT = new Map(Object.values(ValueType).map((type) => [
  type - 128,
  {
    parameters: [],
    results: [
      type
    ]
  }
]));
function labelTypes(frame) {
  return frame.op === Op.LOOP ? frame.type.parameters : frame.type.results;
}
function emptyFacts(length) {
  return {
    heights: new Uint32Array(length),
    dead: new Uint8Array(length),
    arities: new Uint16Array(length),
    partners: new Uint32Array(length),
    max_height: 0,
    control_count: 0,
    max_nesting: 0
  };
}
var BodyValidator = class {
  #context;
  #work;
  #stack;
  #frames = [];
  #facts = emptyFacts(0);
  /** The index of the instruction that is checked. */
  #index = 0;
  #offset = 0;
  constructor(context, work) {
    this.#context = context;
    this.#work = work;
    this.#stack = new OperandStack(work);
  }
  /** @throws {WasmError} when the body does not have its type. */
  validate(body, type) {
    const { code, offsets } = body;
    this.#stack.reset();
    this.#frames = [];
    this.#facts = emptyFacts(code.length);
    this.#offset = body.offset;
    const locals = new LocalTypes(type.parameters, body.locals, this.#work);
    this.#open(Op.BLOCK, {
      parameters: [],
      results: type.results
    }, -1);
    code.forEach((instruction2, index) => {
      this.#index = index;
      this.#offset = offsets[index] ?? body.offset;
      this.#note();
      this.#step(instruction2, locals);
    });
    this.#facts.max_height = this.#stack.max_height;
    return this.#facts;
  }
  #note() {
    this.#work.steps += 1;
    this.#facts.heights[this.#index] = this.#stack.height;
    this.#facts.dead[this.#index] = this.#top().dead ? 1 : 0;
  }
  #top() {
    const frame = this.#frames.at(-1);
    if (frame === void 0) throw malformed("instructions behind the end", this.#offset);
    return frame;
  }
  #open(op, type, opener) {
    const dead = this.#frames.at(-1)?.dead ?? false;
    const base = this.#stack.height;
    this.#frames.push({
      op,
      type,
      opener,
      base,
      polymorphic: false,
      dead,
      dead_before: dead
    });
    this.#stack.base = base;
    this.#stack.polymorphic = false;
    this.#stack.pushAll(type.parameters);
  }
  /** The block's results are all there is above its base. */
  #checkResults(frame) {
    this.#stack.popAll(frame.type.results, this.#offset);
    if (this.#stack.height !== frame.base) {
      throw invalid("a block leaves values that it does not give", this.#offset);
    }
  }
  #cut() {
    const frame = this.#top();
    frame.polymorphic = true;
    frame.dead = true;
    this.#stack.cut();
  }
  #blockType(code) {
    if (code === EMPTY_BLOCK) return NO_VALUES;
    const type = code < 0 ? ONE_RESULT.get(code) : this.#context.types[code];
    if (type === void 0) throw invalid(`there is no type ${code}`, this.#offset);
    return type;
  }
  #label(depth) {
    const frame = this.#frames[this.#frames.length - 1 - depth];
    if (frame === void 0) throw invalid(`there is no label ${depth}`, this.#offset);
    return labelTypes(frame);
  }
  #carry(types) {
    this.#facts.arities[this.#index] = types.length;
  }
  #step(instruction2, locals) {
    const { op, a } = instruction2;
    switch (op) {
      case Op.BLOCK:
      case Op.LOOP:
      case Op.IF:
        return this.#stepOpen(op, a);
      case Op.ELSE:
        return this.#stepElse();
      case Op.END:
        return this.#stepEnd();
      case Op.BR:
      case Op.BR_IF:
        return this.#stepBranch(op, a);
      case Op.BR_TABLE:
        return this.#stepBranchTable(instruction2);
      case Op.RETURN: {
        const results = this.#frames[0]?.type.results ?? [];
        this.#carry(results);
        this.#stack.popAll(results, this.#offset);
        return this.#cut();
      }
      case Op.UNREACHABLE:
        return this.#cut();
    }
    const entry = OPCODES.get(op);
    if (entry === void 0) throw malformed(`there is no opcode ${op}`, this.#offset);
    checkStraight(instruction2, entry, this.#stack, this.#context, locals, this.#offset);
  }
  #stepOpen(op, block_type) {
    if (op === Op.IF) this.#stack.pop(ValueType.I32, this.#offset);
    const type = this.#blockType(block_type);
    this.#stack.popAll(type.parameters, this.#offset);
    this.#open(op, type, this.#index);
    this.#facts.control_count += 1;
    const nesting = this.#frames.length - 1;
    if (nesting > this.#facts.max_nesting) this.#facts.max_nesting = nesting;
  }
  #stepElse() {
    const frame = this.#top();
    this.#checkResults(frame);
    this.#facts.partners[frame.opener] = this.#index;
    frame.op = Op.ELSE;
    frame.opener = this.#index;
    frame.polymorphic = false;
    frame.dead = frame.dead_before;
    this.#stack.polymorphic = false;
    this.#stack.pushAll(frame.type.parameters);
  }
  #stepEnd() {
    const frame = this.#top();
    this.#checkResults(frame);
    this.#checkMissingElse(frame);
    this.#frames.pop();
    if (frame.opener < 0) {
      this.#facts.partners[this.#index] = this.#index + 1;
      return;
    }
    this.#facts.partners[frame.opener] = this.#index;
    this.#facts.partners[this.#index] = frame.opener;
    const outer = this.#top();
    this.#stack.base = outer.base;
    this.#stack.polymorphic = outer.polymorphic;
    this.#stack.pushAll(frame.type.results);
  }
  /** An if without an else passes its parameters on as its results. */
  #checkMissingElse(frame) {
    if (frame.op !== Op.IF) return;
    const { parameters, results } = frame.type;
    const same = parameters.length === results.length && parameters.every((type, at) => type === results[at]);
    if (!same) throw invalid("an if without an else changes its values", this.#offset);
  }
  #stepBranch(op, depth) {
    if (op === Op.BR_IF) this.#stack.pop(ValueType.I32, this.#offset);
    const types = this.#label(depth);
    this.#carry(types);
    this.#stack.popAll(types, this.#offset);
    if (op === Op.BR_IF) this.#stack.pushAll(types);
    else this.#cut();
  }
  #stepBranchTable({ a, list }) {
    this.#stack.pop(ValueType.I32, this.#offset);
    const types = this.#label(a);
    this.#carry(types);
    for (const depth of list) {
      this.#work.steps += 1;
      const other = this.#label(depth);
      if (other.length !== types.length) {
        throw invalid("the labels of a br_table carry unlike values", this.#offset);
      }
      this.#stack.checkAll(other, this.#offset);
    }
    this.#stack.popAll(types, this.#offset);
    this.#cut();
  }
};

var MAX_PAGES = 65536;
var EXTENDED_CONST = /* @__PURE__ */ new Set([
  Op.I32_ADD,
  Op.I32_SUB,
  Op.I32_MUL,
  Op.I64_ADD,
  Op.I64_SUB,
  Op.I64_MUL
]);
function checkLimits(limits, what, bound, offset) {
  const { minimum, maximum } = limits;
  if (minimum > bound || maximum !== void 0 && maximum > bound) {
    throw invalid(`a ${what} is larger than ${bound}`, offset);
  }
  if (maximum !== void 0 && minimum > maximum) {
    throw invalid(`the minimum of a ${what} is above its maximum`, offset);
  }
}
function typeAt(types, index, offset) {
  const type = types[index];
  if (type === void 0) throw invalid(`there is no type ${index}`, offset);
  return type;
}
function addImport(entry, into, types) {
  const { description, offset } = entry;
  switch (description.kind) {
    case "function":
      into.functions.push(typeAt(types, description.type, offset));
      break;
    case "table":
      checkLimits(description.table.limits, "table", 2 ** 32 - 1, offset);
      into.tables.push(description.table);
      break;
    case "memory":
      checkLimits(description.limits, "memory", MAX_PAGES, offset);
      into.memories += 1;
      break;
    case "global":
      into.globals.push(description.global);
      break;
    default:
      description;
  }
}
function declaredFunctions(raw) {
  const declared = /* @__PURE__ */ new Set();
  const note = (expression) => {
    for (const { op, a } of expression) if (op === Op.REF_FUNC) declared.add(a);
  };
  for (const { init } of raw.globals) note(init);
  for (const { kind, index } of raw.exports) if (kind === "function") declared.add(index);
  for (const { items } of raw.elements) {
    if (items.kind === "expressions") items.expressions.forEach(note);
    else items.indices.forEach((index) => declared.add(index));
  }
  return declared;
}
function contextOf(raw) {
  const spaces = {
    functions: [],
    tables: [],
    globals: [],
    memories: 0
  };
  for (const entry of raw.imports) addImport(entry, spaces, raw.types);
  const imported_globals = spaces.globals.length;
  raw.function_types.forEach((type, at) => {
    spaces.functions.push(typeAt(raw.types, type, raw.bodies[at]?.offset ?? 0));
  });
  for (const table of raw.tables) {
    checkLimits(table.limits, "table", 2 ** 32 - 1, table.offset);
    spaces.tables.push(table);
  }
  for (const memory of raw.memories) checkLimits(memory.limits, "memory", MAX_PAGES, memory.offset);
  for (const global of raw.globals) spaces.globals.push(global);
  return {
    types: raw.types,
    functions: spaces.functions,
    tables: spaces.tables,
    memories: spaces.memories + raw.memories.length,
    globals: spaces.globals,
    imported_globals,
    element_types: raw.elements.map((segment) => segment.type),
    data_count: raw.data_count,
    declared: declaredFunctions(raw)
  };
}
function constType({ op, a }, context, offset) {
  switch (op) {
    case Op.I32_CONST:
      return ValueType.I32;
    case Op.I64_CONST:
      return ValueType.I64;
    case Op.F32_CONST:
      return ValueType.F32;
    case Op.F64_CONST:
      return ValueType.F64;
    case Op.REF_NULL:
      return a === ValueType.FUNCREF ? ValueType.FUNCREF : ValueType.EXTERNREF;
    case Op.REF_FUNC:
      if (a >= context.functions.length) throw invalid(`there is no function ${a}`, offset);
      return ValueType.FUNCREF;
    case Op.GLOBAL_GET: {
      const global = context.globals[a];
      if (global === void 0) throw invalid(`there is no global ${a}`, offset);
      if (global.mutable) throw invalid("a constant expression reads a mutable global", offset);
      if (a >= context.imported_globals) {
        const what = "global.get of a global that is not imported, in a constant expression,";
        throw unsupported("extended const", what, offset);
      }
      return global.type;
    }
  }
  const name = OPCODES.get(op)?.name ?? "an instruction";
  if (EXTENDED_CONST.has(op)) {
    throw unsupported("extended const", `${name} in a constant expression`, offset);
  }
  throw invalid(`${name} stands in a constant expression`, offset);
}
function checkConst(code, type, context, offset) {
  const types = code.map((each) => constType(each, context, offset));
  if (types.length !== 1 || types[0] !== type) {
    throw invalid("a constant expression does not give one value of the right type", offset);
  }
}
function checkSegments(raw, context) {
  for (const { items, type, mode, table, at, offset } of raw.elements) {
    if (items.kind === "expressions") {
      for (const expression of items.expressions) checkConst(expression, type, context, offset);
    } else {
      const missing = items.indices.find((index) => index >= context.functions.length);
      if (missing !== void 0) throw invalid(`there is no function ${missing}`, offset);
    }
    if (mode !== "active") continue;
    const filled = context.tables[table];
    if (filled === void 0) throw invalid(`there is no table ${table}`, offset);
    if (filled.type !== type) {
      throw invalid("an element segment is not of its table's type", offset);
    }
    checkConst(at, ValueType.I32, context, offset);
  }
  for (const { mode, at, offset } of raw.data) {
    if (mode !== "active") continue;
    if (context.memories === 0) throw invalid("a data segment fills no memory", offset);
    checkConst(at, ValueType.I32, context, offset);
  }
}
function checkExports(raw, context) {
  const sizes = {
    function: context.functions.length,
    table: context.tables.length,
    memory: context.memories,
    global: context.globals.length
  };
  const names = /* @__PURE__ */ new Set();
  for (const { name, kind, index, offset } of raw.exports) {
    if (index >= sizes[kind]) {
      throw invalid(`an export names ${kind} ${index}, which is not there`, offset);
    }
    if (names.has(name)) throw invalid("two exports have the same name", offset);
    names.add(name);
  }
}
function checkStart(raw, context) {
  if (raw.start === void 0) return;
  const type = context.functions[raw.start];
  if (type === void 0) throw invalid(`the start function ${raw.start} is not there`, 0);
  if (type.parameters.length + type.results.length > 0) {
    throw invalid("the start function takes or gives values", 0);
  }
}
function checkStaticLimits(raw, context, limits) {
  if (context.memories > 1) {
    throw unsupported("several memories", "a second memory", raw.memories.at(-1)?.offset ?? 0);
  }
  const entries2 = context.tables.reduce((sum2, table) => sum2 + table.limits.minimum, 0);
  if (entries2 > limits.table_entries) {
    const allowed = limits.table_entries;
    throw overLimit(`the tables start with ${entries2} entries; ${allowed} are allowed`, 0);
  }
}
function validateModule(raw, limits, work) {
  const context = contextOf(raw);
  checkStaticLimits(raw, context, limits);
  for (const { init, type, offset } of raw.globals) checkConst(init, type, context, offset);
  checkExports(raw, context);
  checkStart(raw, context);
  checkSegments(raw, context);
  const validator = new BodyValidator(context, work);
  const imported = context.functions.length - raw.bodies.length;
  return raw.bodies.map((body, at) => {
    const type = context.functions[imported + at];
    if (type === void 0) throw malformed("a body without a type", body.offset);
    return validator.validate(body, type);
  });
}

var CUSTOM_SECTION = 0;
var MAGIC = 1836278016;
var VERSION = 1;
var COMPONENT_LAYER = 65536;
function readHeader(reader) {
  if (reader.bits32() !== MAGIC) throw malformed("this is not WebAssembly: no magic number", 0);
  const version2 = reader.bits32();
  if (version2 === VERSION) return;
  if (version2 >= COMPONENT_LAYER && version2 < 2 * COMPONENT_LAYER) {
    throw unsupported("components", "a component", 4);
  }
  throw malformed(`WebAssembly version ${version2} instead of 1`, 4);
}
function readCustom(reader, after) {
  const name = reader.text();
  const bytes = reader.take(reader.end - reader.position);
  const names = name === "name" ? decodeNames(bytes, reader.work) : void 0;
  return {
    name,
    bytes,
    after,
    names
  };
}
function emptyModule(size_bytes) {
  return {
    types: [],
    imports: [],
    function_types: [],
    tables: [],
    memories: [],
    globals: [],
    exports: [],
    start: void 0,
    elements: [],
    data_count: void 0,
    bodies: [],
    data: [],
    customs: [],
    size_bytes
  };
}
function placeOf(id, seen, offset) {
  const place = SECTIONS.findIndex((section) => section.id === id);
  if (place < 0) throw unknownSection(id, offset);
  if (place < seen) throw malformed(`section ${id} comes twice or too late`, offset);
  return place;
}
function readSections(reader, limits) {
  const module = emptyModule(reader.end);
  const customs = [];
  let seen = 0;
  let after = 0;
  while (!reader.done()) {
    const offset = reader.position;
    const id = reader.u8();
    const content = reader.span(reader.u32());
    if (id === CUSTOM_SECTION) {
      customs.push(readCustom(content, after));
      continue;
    }
    const place = placeOf(id, seen, offset);
    SECTIONS[place]?.read(content, module, limits);
    content.finish(`section ${id}`);
    seen = place + 1;
    after = id;
  }
  if (module.bodies.length !== module.function_types.length) {
    throw malformed("functions and bodies are not equally many", reader.end);
  }
  if (module.data_count !== void 0 && module.data_count !== module.data.length) {
    throw malformed("the data count is not the number of data segments", reader.end);
  }
  module.customs = customs;
  return module;
}
function withFacts(raw, limits, work) {
  const facts = validateModule(raw, limits, work);
  const functions = [];
  raw.bodies.forEach((body, at) => {
    const type = raw.function_types[at];
    const known = facts[at];
    if (type === void 0 || known === void 0) throw new TypeError("a body without its facts");
    functions.push({
      ...body,
      type,
      facts: known
    });
  });
  const { function_types: _types, bodies: _bodies, data_count, ...rest } = raw;
  return {
    ...rest,
    functions,
    has_data_count: data_count !== void 0
  };
}
function decodeModule(bytes, limits = POLICY_LIMITS, work = {
  steps: 0
}) {
  if (bytes.length > limits.module_bytes) {
    const allowed = limits.module_bytes;
    throw overLimit(`the module has ${bytes.length} bytes; ${allowed} are allowed`, 0);
  }
  const reader = new Reader(bytes, 0, bytes.length, work);
  readHeader(reader);
  return withFacts(readSections(reader, limits), limits, work);
}

function writeOperands(writer, instruction2, entry) {
  const { a, b, long, list } = instruction2;
  switch (entry.immediate) {
    case "none":
      return;
    case "index":
      return writer.u32(a);
    case "index2":
    case "index-zero":
    case "memory-access":
      writer.u32(a);
      return writer.u32(b);
    case "labels":
      writer.list(list, (label) => writer.u32(label));
      return writer.u32(a);
    case "types":
      return writer.list(list, (type) => writer.u8(type));
    case "zero":
      return writer.u8(0);
    case "zero2":
      writer.u8(0);
      return writer.u8(0);
    case "reference-type":
      return writer.u8(a);
    case "block":
    case "i32":
      return writer.s33(a);
    case "i64":
      return writer.s64(long);
    case "f32":
      return writer.bits32(a);
    case "f64":
      return writer.bits64(long);
    default:
      entry.immediate;
  }
}
function writeInstruction(writer, instruction2) {
  const { op } = instruction2;
  const entry = OPCODES.get(op);
  if (entry === void 0) throw new TypeError(`there is no opcode 0x${op.toString(16)}`);
  if (op > 255) {
    writer.u8(PREFIX);
    writer.u32(op & 255);
  } else {
    writer.u8(op);
  }
  writeOperands(writer, instruction2, entry);
}
function writeConstExpression(writer, expression) {
  for (const instruction2 of expression) writeInstruction(writer, instruction2);
  writer.u8(Op.END);
}
function writeBody(writer, body) {
  writer.list(body.locals, ({ count, type }) => {
    writer.u32(count);
    writer.u8(type);
  });
  for (const instruction2 of body.code) writeInstruction(writer, instruction2);
}

var HEADER = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
var FUNCTION_FORM2 = 96;
var KIND_CODES = {
  function: 0,
  table: 1,
  memory: 2,
  global: 3
};
function writeLimits(writer, { minimum, maximum }) {
  writer.u8(maximum === void 0 ? 0 : 1);
  writer.u32(minimum);
  if (maximum !== void 0) writer.u32(maximum);
}
function writeTableType(writer, { type, limits }) {
  writer.u8(type);
  writeLimits(writer, limits);
}
function writeGlobalType(writer, { type, mutable }) {
  writer.u8(type);
  writer.u8(mutable ? 1 : 0);
}
function writeImport(writer, { module, name, description }) {
  writer.text(module);
  writer.text(name);
  writer.u8(KIND_CODES[description.kind]);
  switch (description.kind) {
    case "function":
      return writer.u32(description.type);
    case "table":
      return writeTableType(writer, description.table);
    case "memory":
      return writeLimits(writer, description.limits);
    case "global":
      return writeGlobalType(writer, description.global);
    default:
      description;
  }
}
function elementFlags({ mode, table, type, items, explicit }) {
  const expressions = items.kind === "expressions" ? 4 : 0;
  if (mode !== "active") return expressions | (mode === "passive" ? 1 : 3);
  const short = !explicit && table === 0 && type === ValueType.FUNCREF;
  return expressions | (short ? 0 : 2);
}
function writeElement(writer, segment) {
  const { items, type } = segment;
  const flags = elementFlags(segment);
  writer.u32(flags);
  if (segment.mode === "active") {
    if (flags & 2) writer.u32(segment.table);
    writeConstExpression(writer, segment.at);
  }
  if (flags & 3) writer.u8(items.kind === "expressions" ? type : 0);
  if (items.kind === "expressions") {
    writer.list(items.expressions, (each) => writeConstExpression(writer, each));
  } else {
    writer.list(items.indices, (index) => writer.u32(index));
  }
}
function writeData(writer, { mode, at, bytes, explicit }) {
  if (mode === "passive") {
    writer.u32(1);
  } else {
    writer.u32(explicit ? 2 : 0);
    if (explicit) writer.u32(0);
    writeConstExpression(writer, at);
  }
  writer.sized(bytes);
}
function writeNameMap(names) {
  const writer = new Writer2();
  writer.list(names, ([index, name]) => {
    writer.u32(index);
    writer.text(name);
  });
  return writer.view();
}
function encodeNames(names) {
  const parts2 = [
    ...names.others
  ];
  if (names.module !== void 0) {
    const writer2 = new Writer2();
    writer2.text(names.module);
    parts2.push({
      id: NameSubsection.MODULE,
      bytes: writer2.view()
    });
  }
  if (names.functions !== void 0) {
    parts2.push({
      id: NameSubsection.FUNCTIONS,
      bytes: writeNameMap(names.functions)
    });
  }
  if (names.globals !== void 0) {
    parts2.push({
      id: NameSubsection.GLOBALS,
      bytes: writeNameMap(names.globals)
    });
  }
  const writer = new Writer2();
  for (const { id, bytes } of parts2.sort((left, right) => left.id - right.id)) {
    writer.u8(id);
    writer.sized(bytes);
  }
  return writer.view();
}
function writeCustoms(out, content, customs, after) {
  for (const custom of customs) {
    if (custom.after !== after) continue;
    content.clear();
    content.text(custom.name);
    content.raw(custom.names === void 0 ? custom.bytes : encodeNames(custom.names));
    out.u8(0);
    out.sized(content.view());
  }
}
function writeCode(writer, module) {
  const body_bytes = new Writer2(1 << 16);
  writer.list(module.functions, (body) => {
    body_bytes.clear();
    writeBody(body_bytes, body);
    writer.sized(body_bytes.view());
  });
}
function listSection(id, items, write2) {
  return {
    id,
    present: items.length > 0,
    write: (writer) => writer.list(items, (item) => write2(writer, item))
  };
}
function sectionsOf(module) {
  return [
    listSection(1, module.types, (writer, { parameters, results }) => {
      writer.u8(FUNCTION_FORM2);
      writer.list(parameters, (type) => writer.u8(type));
      writer.list(results, (type) => writer.u8(type));
    }),
    listSection(2, module.imports, writeImport),
    listSection(3, module.functions, (writer, { type }) => writer.u32(type)),
    listSection(4, module.tables, writeTableType),
    listSection(5, module.memories, (writer, { limits }) => writeLimits(writer, limits)),
    listSection(6, module.globals, (writer, global) => {
      writeGlobalType(writer, global);
      writeConstExpression(writer, global.init);
    }),
    listSection(7, module.exports, (writer, { name, kind, index }) => {
      writer.text(name);
      writer.u8(KIND_CODES[kind]);
      writer.u32(index);
    }),
    {
      id: 8,
      present: module.start !== void 0,
      write: (writer) => writer.u32(module.start ?? 0)
    },
    listSection(9, module.elements, writeElement),
    {
      id: 12,
      present: module.has_data_count,
      write: (writer) => writer.u32(module.data.length)
    },
    {
      id: 10,
      present: module.functions.length > 0,
      write: (writer) => writeCode(writer, module)
    },
    listSection(11, module.data, writeData)
  ];
}
function encodeModule(module) {
  const out = new Writer2(Math.max(1024, 2 * module.size_bytes));
  out.raw(HEADER);
  const content = new Writer2(Math.max(1024, module.size_bytes));
  writeCustoms(out, content, module.customs, 0);
  for (const { id, present, write: write2 } of sectionsOf(module)) {
    if (present) {
      content.clear();
      write2(content);
      out.u8(id);
      out.sized(content.view());
    }
    writeCustoms(out, content, module.customs, id);
  }
  return out.view().slice();
}

function decodePolicy(bytes, limits = POLICY_LIMITS) {
  try {
    return decodeModule(bytes, limits);
  } catch (error2) {
    if (!(error2 instanceof WasmError)) throw error2;
    const sentence = `The module is refused: ${error2.message}.`;
    throw new PolicyModuleError(`module-${error2.kind}`, sentence, {
      cause: error2
    });
  }
}
function meterModule(module, options) {
  const written2 = options.renewed === true ? writtenGlobals(module) : void 0;
  const renewal = written2 && renewalOf(module, written2);
  const saved_globals = renewal?.by === "restore" ? written2 : void 0;
  const instance_fuel = checkedInstanceFuel(module, saved_globals);
  const { module: metered, compile_cost } = rewriteModule(module, {
    memory_limit_pages: options.memory_limit_pages,
    initial_fuel_units: options.initial_fuel_units ?? 0n,
    height_limit_slots: options.height_limit_slots ?? HEIGHT_LIMIT_SLOTS,
    table_entries: options.limits?.table_entries ?? POLICY_LIMITS.table_entries,
    saved_globals
  });
  const bytes = Uint8Array.from(encodeModule(metered));
  return {
    bytes,
    imports: module.imports.map((entry) => `${entry.module}.${entry.name}`),
    cost: {
      size_bytes: module.size_bytes,
      metered_bytes: bytes.length,
      functions: module.functions.length,
      compile_cost,
      instance_fuel,
      restore_fuel: renewal?.by === "restore" ? Math.ceil(renewal.units / UNITS_PER_FUEL) : 0
    },
    renewal
  };
}

var FUNCTIONS_V1 = {
  host_get_header: [
    2,
    1
  ],
  host_get_claim: [
    2,
    1
  ],
  host_get_payload: [
    0,
    1
  ],
  host_add_header: [
    4,
    0
  ],
  host_log: [
    3,
    0
  ],
  host_reject: [
    3,
    0
  ]
};
var HOST_FUNCTIONS = {
  1: FUNCTIONS_V1,
  2: {
    ...FUNCTIONS_V1,
    host_set_payload: [
      2,
      0
    ],
    host_state_get: [
      1,
      1
    ],
    host_state_set: [
      3,
      0
    ],
    host_state_delete: [
      1,
      0
    ]
  }
};
var RESERVED = {
  1: [
    FUEL_EXPORT,
    HEIGHT_EXPORT
  ],
  2: [
    FUEL_EXPORT,
    HEIGHT_EXPORT,
    SAVE_EXPORT,
    RESTORE_EXPORT
  ]
};
var INIT_EXPORT = "arqon_init";
var OPTIONAL_V2 = [
  [
    INIT_EXPORT,
    [
      0,
      0
    ]
  ],
  [
    STATE_KEYS_EXPORT,
    [
      0,
      1
    ]
  ]
];
function signatureText(type) {
  const list = (types) => types.map((one) => VALUE_TYPE_NAMES[one]).join(", ");
  return `(${list(type.parameters)}) -> (${list(type.results)})`;
}
function i32Type([parameters, results]) {
  return {
    parameters: Array(parameters).fill(ValueType.I32),
    results: Array(results).fill(ValueType.I32)
  };
}
function quoted(name) {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}\u2026` : name);
}
function abiOf(module) {
  return module.imports.some((entry) => entry.module === HOST_MODULE[2]) ? 2 : 1;
}
function importProblem(module, entry, abi) {
  const label = `${quoted(entry.module)}.${quoted(entry.name)}`;
  if (entry.module.startsWith("wasi_") || entry.module.startsWith("wasi:")) {
    const sentence2 = `The import ${label} is WASI, which policies do not have: build without it, for a bare wasm32 target.`;
    return {
      reason: "wasi-import",
      sentence: sentence2
    };
  }
  const { description } = entry;
  if (description.kind === "memory") {
    const sentence2 = `The memory is imported (${label}); a policy must define and export its own.`;
    return {
      reason: "memory-import",
      sentence: sentence2
    };
  }
  if (abi === 2 && entry.module === HOST_MODULE[1]) {
    const sentence2 = `The import ${label} is of another version of the ABI than those of "${HOST_MODULE[2]}": a policy is for one of them.`;
    return {
      reason: "two-abis",
      sentence: sentence2
    };
  }
  const functions = HOST_FUNCTIONS[abi];
  const known = entry.module === HOST_MODULE[abi] && Object.hasOwn(functions, entry.name) ? functions[entry.name] : void 0;
  if (known === void 0 || description.kind !== "function") {
    const sentence2 = `The import ${label} (${description.kind}) is unknown; policies may import only these functions of "${HOST_MODULE[abi]}": ${Object.keys(functions).join(", ")}.`;
    return {
      reason: "unknown-import",
      sentence: sentence2
    };
  }
  const type = module.types[description.type];
  const wanted = signatureText(i32Type(known));
  const found = type === void 0 ? "no type" : signatureText(type);
  if (found === wanted) return void 0;
  const sentence = `The import ${label} has the signature ${found} instead of ${wanted}.`;
  return {
    reason: "import-signature",
    sentence
  };
}
function functionType(module, index) {
  const imported = importCounts(module).function;
  const own2 = module.functions[index - imported];
  if (own2 !== void 0) return module.types[own2.type];
  const entry = module.imports.filter(({ description }) => description.kind === "function")[index];
  return entry?.description.kind === "function" ? module.types[entry.description.type] : void 0;
}
function exportProblem(module, name, wanted) {
  const found = module.exports.find((one) => one.name === name);
  if (found === void 0) return void 0;
  if (found.kind !== "function") {
    return kindProblem(name, found.kind, "function");
  }
  const type = functionType(module, found.index);
  const text = type === void 0 ? "no type" : signatureText(type);
  if (text === signatureText(wanted)) return void 0;
  const sentence = `The export "${name}" has the signature ${text} instead of ${signatureText(wanted)}.`;
  return {
    reason: "export-signature",
    sentence
  };
}
function kindProblem(name, found, wanted) {
  const sentence = `The export "${name}" is a ${found} and must be a ${wanted}.`;
  return {
    reason: "export-kind",
    sentence
  };
}
function exportProblems(module, abi) {
  const kinds = new Map(module.exports.map(({ name, kind }) => [
    name,
    kind
  ]));
  const problems = [];
  const memory = kinds.get("memory");
  if (memory === void 0) {
    const sentence = `The export "memory" is missing: the host reads and writes through it.`;
    problems.push({
      reason: "memory-missing",
      sentence
    });
  } else if (memory !== "memory") {
    problems.push(kindProblem("memory", memory, "memory"));
  }
  if (!kinds.has("arqon_alloc")) {
    const sentence = `The export "arqon_alloc" is missing: the host asks it for memory, (i32) -> (i32).`;
    problems.push({
      reason: "alloc-missing",
      sentence
    });
  }
  const hooks = HOOKS.map((hook) => `arqon_${hook}`);
  if (!hooks.some((hook) => kinds.has(hook))) {
    const sentence = `No hook is exported: at least one of ${hooks.join(", ")} is needed, () -> (i32).`;
    problems.push({
      reason: "hook-missing",
      sentence
    });
  }
  const signatures = [
    [
      "arqon_alloc",
      [
        1,
        1
      ]
    ],
    ...abi === 2 ? OPTIONAL_V2 : [],
    ...hooks.map((hook) => [
      hook,
      [
        0,
        1
      ]
    ])
  ];
  for (const [name, shape] of signatures) {
    const problem = exportProblem(module, name, i32Type(shape));
    if (problem !== void 0) problems.push(problem);
  }
  for (const name of RESERVED[abi]) {
    if (!kinds.has(name)) continue;
    problems.push({
      reason: "reserved-export",
      sentence: `The export name "${name}" is reserved.`
    });
  }
  return problems;
}
function startProblems({ start }, abi) {
  if (start === void 0) return [];
  const instead = {
    1: "its first call",
    2: `its export "${INIT_EXPORT}"`
  }[abi];
  const sentence = `The module has a start section: let ${instead} do that work, which then is paid for by its fuel.`;
  return [
    {
      reason: "start-section",
      sentence
    }
  ];
}
function abiProblems(module) {
  const abi = abiOf(module);
  const imports = module.imports.flatMap((entry) => importProblem(module, entry, abi) ?? []);
  return [
    ...imports,
    ...exportProblems(module, abi),
    ...startProblems(module, abi)
  ];
}
function meterPolicy(bytes, options) {
  const module = decodePolicy(bytes, options.limits);
  const problems = abiProblems(module);
  const [first] = problems;
  if (first !== void 0) {
    const shown = problems.slice(0, 8).map(({ sentence }) => sentence);
    if (problems.length > shown.length) {
      shown.push(`${problems.length - shown.length} more problems are not listed.`);
    }
    throw new PolicyModuleError(first.reason, shown.join(" "));
  }
  const exported = new Set(module.exports.map(({ name }) => name));
  const hooks = HOOKS.filter((hook) => exported.has(`arqon_${hook}`));
  const abi = abiOf(module);
  return {
    ...meterModule(module, {
      ...options,
      renewed: abi === 2
    }),
    abi,
    hooks
  };
}

async function sha256Hex(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(digest).toHex();
}

function slotsOf(compiled) {
  let text;
  try {
    text = stateKeysText(compiled);
  } catch (error2) {
    throw new PolicyModuleError("state-keys", error2 instanceof Error ? error2.message : "");
  }
  return parseStateKeys(text);
}
async function readyModule(bytes, memory_limit_pages) {
  const metered = meterPolicy(bytes, {
    memory_limit_pages
  });
  const { hooks, abi, renewal } = metered;
  const compiled = await WebAssembly.compile(metered.bytes);
  const slots = slotsOf(compiled);
  return {
    sha256: await sha256Hex(bytes),
    compiled,
    hooks,
    renewal,
    is_stateful: abi === 1,
    slots,
    value_bytes: slots.map(({ value_bytes }) => value_bytes)
  };
}
function createModuleBook(source, memory_limit_pages) {
  const book = /* @__PURE__ */ new Map();
  const make = async (sha2562) => {
    const bytes = await source(sha2562);
    if (bytes === void 0) return void 0;
    try {
      const module = await readyModule(bytes, memory_limit_pages);
      return module.sha256 === sha2562 ? module : void 0;
    } catch (error2) {
      if (error2 instanceof PolicyModuleError) return void 0;
      throw error2;
    }
  };
  return (sha2562) => {
    const found = book.get(sha2562) ?? make(sha2562);
    book.set(sha2562, found);
    return found;
  };
}

var RECORD_FORMAT = 1;
var Count = int().min(0);
var Sha256 = string2().regex(/^[0-9a-f]{64}$/, {
  error: "expected 64 lowercase hex digits"
});
var Base64 = base642();
var Read = strictObject({
  from: _enum([
    "header",
    "claim",
    "state"
  ]),
  name: string2(),
  value: string2().nullable(),
  /** The values that filled the template, as one key; only for state. */
  key: string2().optional(),
  is_erased: literal(true).optional()
});
var Write = strictObject({
  name: string2(),
  value: Base64.nullable()
});
var PolicyRecord = strictObject({
  name: string2(),
  /** Hex SHA-256 of the module as uploaded. */
  module: Sha256,
  /** `arqon_host_v1` or `arqon_host_v2`. A v1 module may have kept memory from earlier calls. */
  abi: union([
    literal(1),
    literal(2)
  ]),
  mode: _enum([
    "enforce",
    "observe"
  ]),
  allowed: boolean2(),
  /** 0 when allowed, else 400 to 599. */
  code: Count,
  /** The policy's own words. */
  reason: string2(),
  /** Why it could not decide; null: it could. */
  fault: string2().nullable(),
  detail: string2(),
  /** Instruction units used, and those that it had. */
  units: Count,
  budget_units: Count,
  /** The size of all headers and claims, which the first question for one is charged by. */
  asking_bytes: Count,
  has_read_payload: boolean2(),
  reads: array(Read),
  writes: array(Write),
  added_headers: array(tuple([
    string2(),
    string2()
  ])),
  /** The payload that it put in the place of the one before; null: it left it. */
  payload: Base64.nullable(),
  /** It replaced the payload, and what it put there is not here. */
  is_payload_missing: literal(true).optional(),
  logs: array(strictObject({
    level: Count,
    message: string2()
  }))
});
var PayloadRecord = discriminatedUnion("form", [
  strictObject({
    form: literal("kept"),
    data: Base64
  }),
  strictObject({
    form: literal("reference"),
    bytes: Count,
    is_gone: literal(true).optional()
  }),
  strictObject({
    form: literal("hash"),
    sha256: Sha256,
    bytes: Count
  }),
  strictObject({
    form: literal("none")
  }),
  strictObject({
    form: literal("erased")
  })
]);
var SchemaRecord = strictObject({
  id: string2(),
  version: Count,
  violation: strictObject({
    path: string2(),
    rule: string2(),
    message: string2()
  }).nullable()
});
var Rate = strictObject({
  messages_per_second: Count,
  bytes_per_second: Count
});
var Terms = strictObject({
  credential: strictObject({
    issuer: string2(),
    /** Of the key that signed the token; null: the token names none. */
    kid: string2().nullable(),
    role: string2(),
    /** False: the token names no grants, and so may do everything in its tenant. */
    has_grants: boolean2()
  }),
  /** When the token ends, Unix ms; null after an erasure. */
  expires_ms: Count.nullable(),
  /** The room or pattern of the first grant that allows it; null: none does, or an erasure. */
  grant: string2().nullable(),
  limits: strictObject({
    connection: Rate,
    user: Rate,
    tenant: Rate,
    /** Of the tenant on all Shields; null: there is no such quota. */
    quota: Rate.nullable()
  }),
  /** Null: it is about no room. `pattern` is "" for the default class. */
  room_class: strictObject({
    pattern: string2(),
    source: _enum([
      "default",
      "config",
      "tenant"
    ]),
    durable: boolean2()
  }).nullable(),
  /** The mirror rule about the message, and whether it picked it; null: none, or it was refused. */
  mirror: strictObject({
    prefix: string2(),
    percent: number2(),
    source: _enum([
      "config",
      "tenant"
    ]),
    is_copied: boolean2()
  }).nullable()
});
var JournalRecord = strictObject({
  format: literal(RECORD_FORMAT),
  /** Unique on the bus: the Shield's id, a dot, and its number of the record. */
  id: string2(),
  time_ms: Count,
  node: string2(),
  tenant: string2(),
  hook: _enum([
    "on_connect",
    "on_subscribe",
    "on_message"
  ]),
  /** "" for `on_connect`. */
  room: string2(),
  /** W3C trace id, 32 hex digits; null: the client sent none. */
  trace: string2().nullable(),
  message_id: string2().nullable(),
  /** Its `X-Twist-ID`, where it has neither message id nor trace nor offset; else absent. */
  twist: string2().optional(),
  /** The place in the room's log; null: the room has none, or the message was refused. */
  offset: Count.nullable(),
  /** Who it was; null after an erasure. */
  sender: strictObject({
    user: string2(),
    connection: string2(),
    remote_ip: string2()
  }).nullable(),
  /** Nobody was erased: there was no room for the sender's key, and so its part was not written. */
  is_unkept: literal(true).optional(),
  /** Type of the event or name of the command; "" for other hooks. */
  type: string2(),
  content_type: string2(),
  /** Its sender signed the message; absent: not. No policy may replace a payload that is signed. */
  is_signed: literal(true).optional(),
  payload: PayloadRecord,
  allowed: boolean2(),
  /** 0 when allowed. */
  code: Count,
  /** The reason of docs/errors.md, such as `policy-rejected`; "" when allowed. */
  reason: string2(),
  /** What the client was told; "" when allowed. */
  message: string2(),
  schema: SchemaRecord.nullable(),
  /** The version of the tenant's policies; null: no policy was asked. */
  chain_version: Count.nullable(),
  /** The version of the metering transform, by which units count. */
  meter_version: Count,
  policies: array(PolicyRecord),
  /** Absent: nobody took note of them. */
  terms: Terms.optional()
});
var JournalHole = strictObject({
  format: literal(RECORD_FORMAT),
  hole: strictObject({
    node: string2(),
    tenant: string2(),
    from_ms: Count,
    to_ms: Count,
    /** How many records; null: nobody knows. */
    records: Count.nullable(),
    /** Why: `queue-full`, `storage-full`, `unavailable`, `unwritable`, `damaged`, `other-version`, `killed`. */
    why: string2()
  })
});
function isHole(line) {
  return "hole" in line;
}
function parseLine(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return {
      problem: "it is no JSON"
    };
  }
  const form = typeof value === "object" && value !== null && "hole" in value ? JournalHole : JournalRecord;
  const parsed = form.safeParse(value);
  if (parsed.success) return {
    line: parsed.data
  };
  const [issue2] = parsed.error.issues;
  return {
    problem: `${issue2?.path.join(".") ?? ""}: ${issue2?.message ?? "it is no record"}`
  };
}

var BoundedMap = class {
  #size_max;
  /** A Map keeps insertion order, so the oldest comes first. */
  #entries = /* @__PURE__ */ new Map();
  /**
   * Stands before the oldest entry: everything that it has passed was dropped. Each new iterator
   * would pass all holes that deleted entries have left, which takes 20 µs with 65,536 entries.
   */
  #front;
  /** Entries that were deleted or moved since `#front` was used. */
  #passed = 0;
  constructor(size_max) {
    this.#size_max = size_max;
  }
  get size() {
    return this.#entries.size;
  }
  /** The value; the order stays. */
  get(key) {
    return this.#entries.get(key);
  }
  /** The value, whose entry becomes the newest. */
  use(key) {
    const value = this.#entries.get(key);
    if (value === void 0) return void 0;
    this.delete(key);
    this.#entries.set(key, value);
    return value;
  }
  /** Sets a value; an entry that is there keeps its place. Returns what was dropped for a new one. */
  set(key, value) {
    this.#entries.set(key, value);
    return this.#entries.size > this.#size_max ? this.dropOldest() : void 0;
  }
  /** Sets a value whose entry becomes the newest. Returns what was dropped for a new one. */
  renew(key, value) {
    this.delete(key);
    return this.set(key, value);
  }
  delete(key) {
    if (!this.#entries.delete(key)) return false;
    if (this.#front !== void 0 && ++this.#passed > this.#entries.size) this.#front = void 0;
    return true;
  }
  clear() {
    this.#entries.clear();
    this.#front = void 0;
  }
  /** Drops the oldest entry and returns its value; undefined when there is none. */
  dropOldest() {
    if (this.#entries.size === 0) return void 0;
    this.#front ??= this.#entries.keys();
    this.#passed = 0;
    const { value: oldest, done } = this.#front.next();
    if (done) return void 0;
    const dropped = this.#entries.get(oldest);
    this.#entries.delete(oldest);
    return dropped;
  }
  /** The keys, the oldest first; entries may be deleted meanwhile. */
  keys() {
    return this.#entries.keys();
  }
  /** The values, the oldest first. */
  values() {
    return this.#entries.values();
  }
  /** The entries, the oldest first; they may be deleted meanwhile. */
  [Symbol.iterator]() {
    return this.#entries[Symbol.iterator]();
  }
};

var memories = /* @__PURE__ */ new WeakMap();
function beginningOf(buffer) {
  const words = new Uint32Array(buffer);
  let end = words.length;
  while (end > 0 && words[end - 1] === 0) end--;
  return new Uint8Array(buffer, 0, end * Uint32Array.BYTES_PER_ELEMENT).slice();
}
function firstMemory(compiled, { buffer }) {
  const known = memories.get(compiled);
  if (known?.size_bytes === buffer.byteLength) return known;
  const made = {
    bytes: beginningOf(buffer),
    size_bytes: buffer.byteLength
  };
  memories.set(compiled, made);
  return made;
}
function functionOf(exports, name) {
  const found = exports[name];
  if (typeof found === "function") return found;
  throw new TypeError(`the module was metered without ${name}`);
}
function keepFirstState(compiled, exports, memory) {
  functionOf(exports, SAVE_EXPORT)();
  const restoreGlobals = functionOf(exports, RESTORE_EXPORT);
  const { bytes, size_bytes } = firstMemory(compiled, memory);
  let view = new Uint8Array(memory.buffer);
  const canRestore = () => memory.buffer.byteLength === size_bytes;
  return {
    canRestore,
    restore() {
      if (!canRestore()) return false;
      if (view.length === 0) view = new Uint8Array(memory.buffer);
      view.set(bytes);
      view.fill(0, bytes.length);
      restoreGlobals();
      return true;
    }
  };
}

var ENDING_UNITS = 2e4;
var ENDING_UNITS_PER_SLOT = 6;
var INIT_FUEL = 5e3;
function instantiateGuest({ compiled, renewal }, init_fuel = INIT_FUEL) {
  const running = {
    exports: void 0,
    call: void 0,
    in_alloc: false
  };
  const host_module = HOST_MODULE[renewal === void 0 ? 1 : 2];
  const instance = new WebAssembly.Instance(compiled, {
    [host_module]: hostImports(running)
  });
  const exports = exportsOf2(instance);
  running.exports = exports;
  if (renewal === void 0) return new LastingGuest(running);
  const init_units = initialise(exports, init_fuel);
  if (renewal.by === "instance") return new RenewedGuest(running, init_units);
  const first = keepFirstState(compiled, exports.all, exports.memory);
  return new RenewedGuest(running, init_units, first, renewal.units);
}
function initialise(exports, fuel) {
  const { arqon_init: init } = exports.all;
  if (typeof init !== "function") return 0;
  const budget = BigInt(Math.round(fuel * UNITS_PER_FUEL));
  exports.fuel.value = budget;
  try {
    init();
  } catch (error2) {
    const { fault, detail } = faultOf(error2, exports.fuel.value < 0n);
    throw new EndCall(fault, `arqon_init: ${detail}`);
  }
  return Number(budget - exports.fuel.value);
}
var LastingGuest = class {
  init_units = 0;
  restore_units = 0;
  #running;
  #hooks = {};
  constructor(running) {
    this.#running = running;
  }
  call(hook, request, fuel) {
    return runCall(this.#running, this.#hooks, hook, request, fuel);
  }
};
var USED_UP = {
  allowed: false,
  code: 503,
  reason: "",
  fault: "abi",
  detail: "the instance has served its call",
  units: 0,
  added_headers: [],
  logs: [],
  payload: void 0,
  broken: true
};
var RenewedGuest = class {
  init_units;
  #running;
  #hooks = {};
  #first;
  #units;
  #used = false;
  constructor(running, init_units, first, units = 0) {
    this.#running = running;
    this.init_units = init_units;
    this.#first = first;
    this.#units = units;
  }
  get restore_units() {
    return this.#used ? this.#units : 0;
  }
  call(hook, request, fuel) {
    const first = this.#first;
    if (this.#used && first?.restore() !== true) return USED_UP;
    this.#used = true;
    const outcome = runCall(this.#running, this.#hooks, hook, request, fuel);
    if (outcome.broken || first?.canRestore() === true) return outcome;
    return {
      ...outcome,
      broken: true
    };
  }
};
function runCall(running, hooks, hook, request, fuel) {
  const { exports } = running;
  const call = newCall(request);
  running.call = call;
  const budget = Math.round(fuel * UNITS_PER_FUEL);
  const stack_pointer = exports.stack_pointer?.value;
  exports.fuel.value = bigBudget(budget);
  if (exports.height !== void 0) exports.height.value = 0;
  let verdict;
  let thrown;
  try {
    verdict = (hooks[hook] ??= hookOf(exports, hook))();
  } catch (error2) {
    thrown = error2;
  } finally {
    running.call = void 0;
  }
  if (stack_pointer !== void 0) exports.stack_pointer.value = stack_pointer;
  const left = Number(exports.fuel.value);
  const used = left < 0 ? budget : budget - left;
  const ending = thrown === void 0 ? 0 : endingUnits(exports.height?.value ?? 0);
  const units = Math.min(used + ending, budget);
  const outcome = outcomeOf(call, verdict, thrown, units, left < 0);
  const { written: written2, read_slots } = call;
  if (written2 === void 0 && read_slots === 0) return outcome;
  const is_kept = outcome.fault === void 0 && written2 !== void 0;
  return is_kept ? {
    ...outcome,
    read_slots,
    written: written2
  } : {
    ...outcome,
    read_slots
  };
}
var NONE2 = [];
var last = {
  units: 0,
  big: 0n
};
function bigBudget(units) {
  if (last.units !== units) {
    last.units = units;
    last.big = BigInt(units);
  }
  return last.big;
}
function endingUnits(height_slots) {
  return ENDING_UNITS + height_slots * ENDING_UNITS_PER_SLOT;
}
function exportsOf2(instance) {
  const all = instance.exports;
  const { memory, arqon_alloc, __stack_pointer } = all;
  const fuel = all[FUEL_EXPORT];
  const height = all[HEIGHT_EXPORT];
  if (!(memory instanceof WebAssembly.Memory)) throw new TypeError("no exported memory");
  if (typeof arqon_alloc !== "function") throw new TypeError("no exported arqon_alloc");
  if (!(fuel instanceof WebAssembly.Global)) throw new TypeError("the module is not metered");
  return {
    memory,
    bytes: new Uint8Array(memory.buffer),
    alloc: arqon_alloc,
    fuel,
    height: isMutableNumber(height) ? height : void 0,
    stack_pointer: isMutableNumber(__stack_pointer) ? __stack_pointer : void 0,
    all
  };
}
function isMutableNumber(value) {
  if (!(value instanceof WebAssembly.Global) || typeof value.value !== "number") return false;
  const before = value.value;
  try {
    value.value = before;
    return true;
  } catch {
    return false;
  }
}
function hookOf(exports, hook) {
  const found = exports.all[`arqon_${hook}`];
  if (typeof found === "function") return found;
  throw new EndCall("abi", `the module does not export arqon_${hook}`);
}
function outcomeOf(call, verdict, thrown, units, exhausted) {
  const { added_headers = NONE2, logs = NONE2, payload } = call;
  const fault = void 0;
  if (thrown === void 0 && verdict === 0) {
    return {
      allowed: true,
      code: 0,
      reason: "",
      fault,
      detail: "",
      units,
      added_headers,
      logs,
      payload,
      broken: false
    };
  }
  const refused = {
    allowed: false,
    units,
    added_headers: NONE2,
    logs,
    payload: void 0
  };
  if (thrown !== void 0) {
    if (call.rejected !== void 0 && thrown instanceof EndCall && !exhausted) {
      return {
        ...refused,
        ...call.rejected,
        fault: void 0,
        detail: "",
        broken: false
      };
    }
    const { fault: fault2, detail } = faultOf(thrown, exhausted);
    const code = FAULT_CODES[fault2] ?? 503;
    return {
      ...refused,
      code,
      reason: "",
      fault: fault2,
      detail,
      broken: true
    };
  }
  return {
    ...refused,
    code: 403,
    reason: "",
    fault,
    detail: "",
    broken: false
  };
}
function faultOf(thrown, exhausted) {
  if (exhausted) return {
    fault: "fuel",
    detail: "out of fuel"
  };
  if (thrown instanceof EndCall) return {
    fault: thrown.fault ?? "trap",
    detail: thrown.detail
  };
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return {
    fault: "trap",
    detail
  };
}

var NO_SLOTS = [];
function createInstances(max, init_fuel = INIT_FUEL) {
  const modules = /* @__PURE__ */ new Map();
  const guests = new BoundedMap(max);
  const key = (tenant_id, module) => `${module} ${tenant_id}`;
  let last2;
  function use(tenant_id, module) {
    if (last2?.module === module && last2.tenant_id === tenant_id) return last2.guest;
    const guest = guests.use(key(tenant_id, module))?.guest;
    if (guest !== void 0) last2 = {
      tenant_id,
      module,
      guest
    };
    return guest;
  }
  return {
    find: use,
    valueBytes: (module) => modules.get(module)?.value_bytes ?? NO_SLOTS,
    price: (module) => modules.get(module)?.instance_units,
    make(tenant_id, module) {
      const runnable = modules.get(module);
      if (runnable === void 0) throw new TypeError(`module ${module} is not loaded`);
      const guest = instantiateGuest(runnable, init_fuel);
      last2 = void 0;
      guests.set(key(tenant_id, module), {
        guest,
        module
      });
      return guest;
    },
    drop(tenant_id, module) {
      last2 = void 0;
      guests.delete(key(tenant_id, module));
    },
    load: (module, runnable) => void modules.set(module, runnable),
    unload(module) {
      last2 = void 0;
      modules.delete(module);
      for (const [name, entry] of guests) if (entry.module === module) guests.delete(name);
    },
    get size() {
      return guests.size;
    }
  };
}

var OF_THE_SHIELD = /* @__PURE__ */ new Set([
  "stall",
  "wedge",
  "queue-full",
  "missing-module",
  "breaker-open",
  "rate",
  "payload-too-large"
]);
function notOfTheModule({ fault, detail, units, abi }) {
  if (fault === null) return void 0;
  if (OF_THE_SHIELD.has(fault)) return fault;
  if (fault === "chain-fuel" && units === 0) return fault;
  if (fault === "abi" && detail.startsWith("the chain adds")) return "abi of the chain";
  if (fault === "abi" && detail === "") return fault;
  if (fault === "memory" && abi === 1 && !detail.includes("arqon_alloc")) return fault;
  return void 0;
}
var sameFault = (recorded, ran) => recorded === (ran ?? null) || recorded === "chain-fuel" && ran === "fuel";
function sameHeaders(one, other) {
  return one.length === other.length && one.every(([name, value], at) => name === other[at]?.[0] && value === other[at]?.[1]);
}
function samePayload({ payload }, ran) {
  return payload === (ran.payload?.toBase64() ?? null);
}
function decisionOf({ allowed, code, reason, fault }) {
  return {
    allowed,
    code,
    reason,
    fault: fault ?? null
  };
}
function wordsAndData(recorded, ran) {
  const found = [];
  if (recorded.reason !== ran.reason) found.push("reason");
  if (recorded.allowed && !sameHeaders(recorded.added_headers, ran.added_headers)) {
    found.push("headers");
  }
  const has_payload = recorded.mode === "enforce" && recorded.is_payload_missing !== true;
  if (recorded.allowed && has_payload && !samePayload(recorded, ran)) found.push("payload");
  return found;
}
function differences(recorded, ran, { compares_units, is_erased }) {
  const found = [];
  if (recorded.allowed !== ran.allowed || !sameFault(recorded.fault, ran.fault)) {
    found.push("verdict");
  }
  if (ran.fault === void 0 && recorded.code !== ran.code) found.push("code");
  if (!is_erased) found.push(...wordsAndData(recorded, ran));
  if (compares_units && recorded.units !== ran.units) found.push("fuel");
  return found;
}

var STEPS = 128;
function emptyHistogram() {
  return {
    calls: 0,
    sum_units: 0,
    most_units: 0,
    buckets: /* @__PURE__ */ new Map()
  };
}
function addUnits(histogram, units) {
  const bucket = Math.floor(Math.log2(units + 1) * STEPS);
  histogram.calls++;
  histogram.sum_units += units;
  if (units > histogram.most_units) histogram.most_units = units;
  histogram.buckets.set(bucket, (histogram.buckets.get(bucket) ?? 0) + 1);
}

var EMPTY = new Uint8Array(0);
function payloadAt(record, place) {
  const { policies, payload } = record;
  for (let before = place - 1; before >= 0; before--) {
    const { mode, payload: replaced, is_payload_missing } = policies[before];
    if (is_payload_missing === true) return void 0;
    if (mode === "enforce" && replaced !== null) return Uint8Array.fromBase64(replaced);
  }
  return keptPayload(payload);
}
function keptPayload(payload) {
  if (payload.form === "kept") return Uint8Array.fromBase64(payload.data);
  return payload.form === "none" ? EMPTY : void 0;
}
function ownHeader2(record, name) {
  const { sender } = record;
  switch (name) {
    case "hook":
      return {
        value: record.hook
      };
    case "tenant":
      return {
        value: record.tenant
      };
    case "room":
      return {
        value: record.room
      };
    case "type":
      return {
        value: record.type
      };
    case "content-type":
      return {
        value: record.content_type
      };
    case "now-ms":
      return {
        value: String(record.time_ms)
      };
    case "user":
      return sender === null ? void 0 : {
        value: sender.user
      };
    case "remote-ip":
      return sender === null ? void 0 : {
        value: sender.remote_ip
      };
    default:
      return void 0;
  }
}
var OWN = "x-arqon-";
var OWN_NAMES = /* @__PURE__ */ new Set([
  "hook",
  "tenant",
  "room",
  "type",
  "content-type",
  "now-ms",
  "user",
  "remote-ip"
]);
var RecordedInputs = class {
  asking_bytes;
  payload_most;
  /** The keyed state of the module that runs; undefined: it has none. */
  state;
  #record;
  #place;
  #payload;
  #unknown;
  constructor(record, place) {
    this.#record = record;
    this.#place = place;
    this.asking_bytes = record.policies[place].asking_bytes;
    this.payload_most = record.hook !== "on_message" ? NOT_A_MESSAGE : record.is_signed === true ? SIGNED : Infinity;
  }
  /** What was asked for and is not known: `payload`, `header NAME`, `claim NAME`. Mostly empty. */
  get unknown() {
    return this.#unknown;
  }
  get payload() {
    this.#payload ??= payloadAt(this.#record, this.#place);
    if (this.#payload === void 0) this.note("payload");
    return this.#payload ??= EMPTY;
  }
  header(lower_name) {
    const added = this.#addedBefore(lower_name);
    if (added !== void 0) return added;
    const read = this.#read("header", lower_name);
    if (read !== void 0) return read.value ?? void 0;
    if (lower_name.startsWith(OWN)) {
      const name = lower_name.slice(OWN.length);
      const own2 = ownHeader2(this.#record, name);
      if (own2 !== void 0) return own2.value;
      if (!OWN_NAMES.has(name)) return void 0;
    }
    this.note(`header ${lower_name}`);
    return void 0;
  }
  claim(name) {
    const read = this.#read("claim", name);
    if (read !== void 0) return read.value ?? void 0;
    this.note(`claim ${name}`);
    return void 0;
  }
  /** Takes note that something was asked for that is not known. */
  note(what) {
    (this.#unknown ??= /* @__PURE__ */ new Set()).add(what);
  }
  /** The value that an earlier policy of the chain has added under a name, the last one. */
  #addedBefore(lower_name) {
    const { policies } = this.#record;
    for (let before = this.#place - 1; before >= 0; before--) {
      const { mode, allowed, added_headers } = policies[before];
      if (mode !== "enforce" || !allowed) continue;
      const found = added_headers.findLast(([name]) => asciiLower(name) === lower_name);
      if (found !== void 0) return found[1];
    }
    return void 0;
  }
  #read(from, name) {
    const { reads } = this.#record.policies[this.#place];
    for (const read of reads) {
      if (read.from === from && read.name === name) {
        return read.is_erased === true ? void 0 : read;
      }
    }
    return void 0;
  }
};

var ENTRY_BYTES = 128;
var SWEEP_ENTRIES = 4096;
var sizeOf = (place, { value }) => ENTRY_BYTES + place.length + value.length;
var StateStore = class {
  #limits;
  #tenants = /* @__PURE__ */ new Map();
  /** Where the sweep goes on, and its time. */
  #sweeping;
  #swept_ms = 0;
  /** Entries and bytes of all tenants. */
  entries = 0;
  bytes = 0;
  /** How many values went before their time because there was no room. */
  dropped = 0;
  constructor(limits) {
    this.#limits = limits;
  }
  /** The value; undefined when there is none, or its time is over. */
  get({ tenant_id, place }, now_ms) {
    const tenant = this.#tenants.get(tenant_id);
    const entry = tenant?.entries.get(place);
    if (tenant === void 0 || entry === void 0) return void 0;
    if (entry.expires_ms > now_ms) return entry.value;
    this.#remove(tenant_id, tenant, place, entry);
    return void 0;
  }
  /** Sets a value, which is kept from now on for its time; null deletes it. */
  set(ref, value, now_ms) {
    const { tenant_id, place } = ref;
    let tenant = this.#tenants.get(tenant_id);
    const before = tenant?.entries.get(place);
    if (tenant !== void 0 && before !== void 0) {
      this.#remove(tenant_id, tenant, place, before);
    }
    if (value === null) return;
    tenant = this.#tenants.get(tenant_id);
    if (tenant === void 0) {
      tenant = {
        entries: new BoundedMap(Infinity),
        bytes: 0
      };
      this.#tenants.set(tenant_id, tenant);
    }
    const entry = {
      value,
      expires_ms: now_ms + ref.ttl_ms
    };
    tenant.entries.renew(place, entry);
    this.#count(tenant, 1, sizeOf(place, entry));
    this.#makeRoom(tenant_id, tenant, now_ms);
  }
  /** Lets go of values whose time is over; each call looks at some and goes on where the last ended. */
  sweep(now_ms) {
    this.#swept_ms = now_ms;
    this.#sweeping ??= this.#sweepAll();
    for (let left = SWEEP_ENTRIES; left > 0; left--) {
      if (this.#sweeping.next().done !== true) continue;
      this.#sweeping = void 0;
      return;
    }
  }
  *#sweepAll() {
    for (const [tenant_id, tenant] of this.#tenants) {
      for (const [place, entry] of tenant.entries) {
        if (entry.expires_ms <= this.#swept_ms) this.#remove(tenant_id, tenant, place, entry);
        yield;
      }
    }
  }
  /** Drops what was written longest ago until the bounds hold. */
  #makeRoom(writer_id, writer, now_ms) {
    const { tenant_entries, tenant_bytes, entries: entries2, bytes } = this.#limits;
    while (writer.entries.size > tenant_entries || writer.bytes > tenant_bytes) {
      this.#dropOldest(writer_id, writer, now_ms);
    }
    while (this.entries > entries2 || this.bytes > bytes) {
      const [tenant_id, tenant] = this.#largest();
      this.#dropOldest(tenant_id, tenant, now_ms);
    }
  }
  #dropOldest(tenant_id, tenant, now_ms) {
    for (const [place, entry] of tenant.entries) {
      if (entry.expires_ms > now_ms) this.dropped++;
      return this.#remove(tenant_id, tenant, place, entry);
    }
  }
  /** The tenant that has most of what the store holds. There is one, since something is too much. */
  #largest() {
    const share = ({ entries: entries2, bytes }) => Math.max(entries2.size / this.#limits.entries, bytes / this.#limits.bytes);
    return [
      ...this.#tenants
    ].reduce((most, one) => share(one[1]) > share(most[1]) ? one : most);
  }
  #count(tenant, entries2, bytes) {
    tenant.bytes += bytes;
    this.entries += entries2;
    this.bytes += bytes;
  }
  #remove(tenant_id, tenant, place, entry) {
    tenant.entries.delete(place);
    this.#count(tenant, -1, -sizeOf(place, entry));
    if (tenant.entries.size === 0) this.#tenants.delete(tenant_id);
  }
};

var bytesOf = (value) => value === null ? null : Uint8Array.fromBase64(value);
function recordedRead({ reads }, slot) {
  return reads.find(({ from, name }) => from === "state" && name === slot.key);
}
function recordedState(slots, policy, inputs) {
  if (slots.length === 0) return void 0;
  return {
    value_bytes: slots.map(({ value_bytes }) => value_bytes),
    value(at) {
      const slot = slots[at];
      const read = recordedRead(policy, slot);
      if (read !== void 0 && read.is_erased !== true) return bytesOf(read.value);
      inputs.note(`state ${slot.key}`);
      return null;
    }
  };
}
function sameWrites(slots, { writes }, written2) {
  const then = writes.map(({ name, value }) => `${name} ${value}`).sort();
  const now = [
    ...written2 ?? []
  ].map(([at, value]) => `${slots[at]?.key} ${value?.toBase64() ?? null}`).sort();
  return then.length === now.length && then.every((one, at) => one === now[at]);
}
var LIMITS = {
  tenant_entries: 4e6,
  tenant_bytes: 1e9,
  entries: 4e6,
  bytes: 1e9
};
var OwnState = class {
  #slots;
  #values = new StateStore(LIMITS);
  /** Places that were seen: their values are the module's own from then on. */
  #seen = /* @__PURE__ */ new Set();
  #first_ms;
  constructor(slots) {
    this.#slots = slots;
  }
  /** Whether values from before the first record may still count at a time. */
  isWarmUp({ time_ms }) {
    const first_ms = this.#first_ms ??= time_ms;
    return this.#slots.some(({ ttl_ms }) => time_ms < first_ms + ttl_ms);
  }
  /** The state that a call sees, and what keeps its writes. A key that is not known is unknown. */
  of(record, policy, inputs) {
    const refs = this.#slots.map((slot, at) => this.#refOf(slot, at, record, inputs));
    const { time_ms } = record;
    const value = (at) => {
      const ref = refs[at];
      const name = `${ref.tenant_id} ${ref.place}`;
      if (!this.#seen.has(name)) {
        const slot = this.#slots[at];
        const first = recordedRead(policy, slot);
        if (first?.is_erased === true) {
          inputs.note(`state ${slot.key}`);
          return null;
        }
        this.#seen.add(name);
        this.#values.set(ref, bytesOf(first?.value ?? null), time_ms);
      }
      return this.#values.get(ref, time_ms) ?? null;
    };
    return {
      state: {
        value_bytes: this.#slots.map(({ value_bytes }) => value_bytes),
        value
      },
      keep: (written2) => {
        for (const [at, value2] of written2 ?? []) {
          const ref = refs[at];
          this.#seen.add(`${ref.tenant_id} ${ref.place}`);
          this.#values.set(ref, value2, time_ms);
        }
      }
    };
  }
  #refOf(slot, at, record, inputs) {
    const { tenant: tenant_id, node: node2, sender } = record;
    const connection_id = sender?.connection ?? "";
    const is_by_connection = slot.placeholders.some(({ from }) => from === "connection");
    if (sender === null && is_by_connection) inputs.note(`state ${slot.key}`);
    const facts = factsFor(slot, inputs);
    const filled = filledKey(slot, {
      tenant_id,
      connection_id,
      facts
    });
    return {
      tenant_id,
      place: `${node2} ${at} ${filled}`,
      ttl_ms: slot.ttl_ms
    };
  }
};
function factsFor({ placeholders }, inputs) {
  const headers = [];
  const claims = {};
  for (const one of placeholders) {
    switch (one.from) {
      case "claim": {
        const value = inputs.claim(one.name);
        if (value !== void 0) claims[one.name] = value;
        break;
      }
      case "header":
      case "room":
      case "user":
      case "type": {
        const name = one.from === "header" ? one.name : `x-arqon-${one.from}`;
        const value = inputs.header(name);
        if (value !== void 0) headers.push([
          name,
          value
        ]);
        break;
      }
      case "tenant":
      case "connection":
        break;
      default:
        one;
    }
  }
  return {
    headers,
    claims
  };
}

var SAMPLES = 10;
function emptyTally() {
  return {
    lines: 0,
    bad_lines: 0,
    first_bad: null,
    holes: 0,
    missing: 0,
    unknown_holes: 0,
    hole_reasons: {},
    outside: 0,
    without_policy: 0,
    other_policies: {},
    decisions: 0,
    first_ms: Infinity,
    last_ms: -Infinity,
    recorded: {
      repeated: 0,
      same: 0,
      different: {},
      stateful_fuel: 0,
      fuel_not_compared: 0,
      not_run: {},
      no_module: {},
      unknown: {},
      samples: []
    },
    candidate: {
      repeated: 0,
      to_refused: 0,
      to_allowed: 0,
      changed: 0,
      warm_up: 0,
      no_hook: 0,
      faults: {},
      unknown: {},
      not_run: {},
      recorded_fuel: emptyHistogram(),
      fuel: emptyHistogram(),
      samples: {
        to_refused: [],
        to_allowed: [],
        changed: []
      }
    }
  };
}
function countOf(counts, name, by = 1) {
  counts[name] = (counts[name] ?? 0) + by;
}

var INSTANCES = 256;
var CANDIDATE = 1;
var SHOWN_CHARACTERS = 120;
var decoder2 = new TextDecoder();
function excerpt(record, place) {
  const payload = payloadAt(record, place);
  if (payload === void 0 || record.payload.form === "none") return null;
  return decoder2.decode(payload.subarray(0, SHOWN_CHARACTERS * 4)).slice(0, SHOWN_CHARACTERS);
}
function sampleOf({ record, place, policy }, { outcome }, differs) {
  const { allowed, code, reason, fault } = policy;
  return {
    id: record.id,
    time_ms: record.time_ms,
    room: record.room,
    message_id: record.message_id,
    offset: record.offset,
    user: record.sender?.user ?? null,
    recorded: {
      allowed,
      code,
      reason,
      fault
    },
    repeated: decisionOf(outcome),
    differs: differs.join(", "),
    units: [
      policy.units,
      outcome.units
    ],
    payload: excerpt(record, place),
    is_warm_up: false
  };
}
function noInstance(error2) {
  const detail = error2 instanceof Error ? error2.message : String(error2);
  const fault = error2 instanceof RangeError ? "memory" : "trap";
  const nothing = {
    reason: "",
    units: 0,
    added_headers: [],
    logs: []
  };
  return {
    ...nothing,
    allowed: false,
    code: 503,
    fault,
    detail,
    payload: void 0,
    broken: true
  };
}
function createRepeater(options) {
  return new JournalRepeater(options);
}
var JournalRepeater = class {
  tally = emptyTally();
  #options;
  #instances = createInstances(INSTANCES);
  #loaded = /* @__PURE__ */ new Map();
  /** The state of the new module; undefined: it declares none. */
  #own;
  constructor(options) {
    this.#options = options;
    const { candidate } = options;
    if (candidate.slots.length > 0) this.#own = new OwnState(candidate.slots);
    this.#instances.load(CANDIDATE, {
      ...candidate,
      instance_units: 0
    });
    this.#loaded.set(candidate.sha256, {
      module: candidate,
      number: CANDIDATE
    });
  }
  async feed({ first_line, bytes }) {
    const text = decoder2.decode(bytes);
    let line = first_line;
    for (let start = 0; start < text.length; line++) {
      const newline = text.indexOf("\n", start);
      const end = newline < 0 ? text.length : newline;
      const asked = end === start ? void 0 : this.#read(text.slice(start, end), line);
      start = end + 1;
      if (asked === void 0) continue;
      const { module: sha2562 } = asked.policy;
      if (!this.#loaded.has(sha2562)) await this.#load(sha2562);
      this.#repeat(asked, this.#loaded.get(sha2562));
    }
  }
  async #load(sha2562) {
    const module = await this.#options.moduleOf(sha2562);
    const number3 = this.#loaded.size + CANDIDATE + 1;
    if (module !== void 0) this.#instances.load(number3, {
      ...module,
      instance_units: 0
    });
    this.#loaded.set(sha2562, module === void 0 ? void 0 : {
      module,
      number: number3
    });
  }
  /** The call of the policy that a line records; undefined when it records none that counts. */
  #read(text, line) {
    if (text.trim() === "") return void 0;
    const { tally } = this;
    tally.lines++;
    const parsed = parseLine(text);
    if ("problem" in parsed) {
      tally.bad_lines++;
      tally.first_bad ??= {
        line,
        problem: parsed.problem
      };
      return void 0;
    }
    if (isHole(parsed.line)) return void this.#countHole(parsed.line);
    const { selection, isSelected: isSelected2, withAdded } = this.#options;
    if (!isSelected2(parsed.line, selection)) return void tally.outside++;
    const record = withAdded === void 0 ? parsed.line : withAdded(parsed.line);
    if (record === void 0) return void tally.without_policy++;
    const place = record.policies.findIndex(({ name }) => name === selection.policy);
    if (place < 0) {
      tally.without_policy++;
      for (const { name } of record.policies) countOf(tally.other_policies, name);
      return void 0;
    }
    tally.decisions++;
    tally.first_ms = Math.min(tally.first_ms, record.time_ms);
    tally.last_ms = Math.max(tally.last_ms, record.time_ms);
    return {
      record,
      place,
      policy: record.policies[place]
    };
  }
  #countHole({ hole: { tenant, records, why, from_ms, to_ms } }) {
    const { tally } = this;
    const { tenant: wanted = tenant, from_ms: from = -Infinity, until_ms: until = Infinity } = this.#options.selection;
    if (tenant !== wanted || to_ms < from || from_ms >= until) return;
    tally.holes++;
    countOf(tally.hole_reasons, why);
    if (records === null) tally.unknown_holes++;
    else tally.missing += records;
  }
  #repeat(asked, loaded) {
    const { recorded, candidate } = this.tally;
    const fault = notOfTheModule(asked.policy);
    if (fault !== void 0) {
      countOf(recorded.not_run, fault);
      countOf(candidate.not_run, fault);
      return;
    }
    let ran;
    if (loaded === void 0) countOf(recorded.no_module, asked.policy.module);
    else {
      ran = this.#callRecorded(asked, loaded);
      this.#compare(asked, loaded.module, ran);
    }
    const { candidate: { hooks } } = this.#options;
    if (!hooks.includes(asked.record.hook)) return void candidate.no_hook++;
    const is_same = loaded?.number === CANDIDATE && ran !== void 0 && this.#own === void 0;
    this.#judge(asked, is_same ? ran : this.#callCandidate(asked));
  }
  #callRecorded(asked, { module, number: number3 }) {
    const inputs = new RecordedInputs(asked.record, asked.place);
    inputs.state = recordedState(module.slots, asked.policy, inputs);
    return this.#call(asked, number3, inputs);
  }
  #callCandidate(asked) {
    const inputs = new RecordedInputs(asked.record, asked.place);
    const own2 = this.#own?.of(asked.record, asked.policy, inputs);
    inputs.state = own2?.state;
    const ran = this.#call(asked, CANDIDATE, inputs);
    if (ran.unknown === void 0) own2?.keep(ran.outcome.written);
    return ran;
  }
  #call({ record, policy }, number3, inputs) {
    const { tenant, hook } = record;
    const found = this.#guest(tenant, number3);
    const outcome = "fault" in found ? found : found.call(hook, inputs, policy.budget_units / UNITS_PER_FUEL);
    if (outcome.broken) this.#instances.drop(tenant, number3);
    return {
      outcome,
      unknown: inputs.unknown
    };
  }
  /** The tenant's instance, or what a Shield would say when none can be made. */
  #guest(tenant, number3) {
    const guest = this.#instances.find(tenant, number3);
    if (guest !== void 0) return guest;
    try {
      return this.#instances.make(tenant, number3);
    } catch (error2) {
      return noInstance(error2);
    }
  }
  /** Compares the recorded module's repeated call with what it said then. */
  #compare(asked, module, ran) {
    const { recorded } = this.tally;
    if (ran.unknown !== void 0) {
      for (const what of ran.unknown) countOf(recorded.unknown, what);
      return;
    }
    recorded.repeated++;
    const counts_alike = asked.record.meter_version === METER_VERSION;
    if (!counts_alike) recorded.fuel_not_compared++;
    const is_erased = asked.record.sender === null;
    const comparable = {
      compares_units: counts_alike,
      is_erased
    };
    const found = [
      ...differences(asked.policy, ran.outcome, comparable)
    ];
    if (!is_erased && !sameWrites(module.slots, asked.policy, ran.outcome.written)) {
      found.push("state");
    }
    if (found.length === 0) return void recorded.same++;
    if (found.length === 1 && found[0] === "fuel" && module.is_stateful) {
      recorded.stateful_fuel++;
      return;
    }
    countOf(recorded.different, found.join(", "));
    if (recorded.samples.length < SAMPLES) recorded.samples.push(sampleOf(asked, ran, found));
  }
  /** Compares the new module's verdict with the recorded one. */
  #judge(asked, ran) {
    const { candidate } = this.tally;
    if (ran.unknown !== void 0) {
      for (const what of ran.unknown) countOf(candidate.unknown, what);
      return;
    }
    const { policy } = asked;
    const { outcome } = ran;
    candidate.repeated++;
    addUnits(candidate.recorded_fuel, policy.units);
    addUnits(candidate.fuel, outcome.units);
    if (outcome.fault !== void 0) countOf(candidate.faults, outcome.fault);
    const is_erased = asked.record.sender === null;
    const found = differences(policy, outcome, {
      compares_units: false,
      is_erased
    });
    const is_warm_up = this.#own?.isWarmUp(asked.record) ?? false;
    if (found.length === 0) return;
    const kind = policy.allowed === outcome.allowed ? "changed" : outcome.allowed ? "to_allowed" : "to_refused";
    candidate[kind]++;
    if (is_warm_up && kind !== "changed") candidate.warm_up++;
    const samples = candidate.samples[kind];
    const { onFlip } = this.#options;
    if (samples.length >= SAMPLES && onFlip === void 0) return;
    const sample = {
      ...sampleOf(asked, ran, found),
      is_warm_up
    };
    if (samples.length < SAMPLES) samples.push(sample);
    onFlip?.(kind, sample);
  }
};

var messageOf = (error2) => error2 instanceof Error ? error2.message : String(error2);
var isSelected = ({ tenant }, selection) => tenant === selection.tenant;
function serve(scope) {
  const asked = /* @__PURE__ */ new Map();
  let repeater;
  const moduleBytes = (sha2562) => {
    const waiting = Promise.withResolvers();
    asked.set(sha2562, waiting);
    scope.postMessage({
      kind: "needs",
      sha256: sha2562
    });
    return waiting.promise;
  };
  const start = async (mail) => {
    const { bytes, memory_limit_pages, selection } = mail;
    const candidate = await readyModule(bytes, memory_limit_pages);
    const moduleOf = createModuleBook(moduleBytes, memory_limit_pages);
    repeater = createRepeater({
      selection,
      isSelected,
      candidate,
      moduleOf
    });
    const { sha256: sha2562, is_stateful } = candidate;
    return {
      kind: "ready",
      sha256: sha2562,
      is_stateful
    };
  };
  const feed = async (chunk) => {
    if (repeater === void 0) throw new Error("lines came before a module");
    await repeater.feed(chunk);
    return {
      kind: "done",
      tally: repeater.tally
    };
  };
  const answer = (news) => {
    news.catch((error2) => ({
      kind: "failed",
      message: messageOf(error2)
    })).then((said) => scope.postMessage(said));
  };
  scope.onmessage = ({ data }) => {
    switch (data.kind) {
      case "start":
        return answer(start(data));
      case "module":
        return asked.get(data.sha256)?.resolve(data.bytes);
      case "chunk":
        return answer(feed(data.chunk));
      default:
        data;
    }
  };
}
serve(globalThis);
/*! noble-hashes - MIT License (c) 2022 Paul Miller (paulmillr.com) */
