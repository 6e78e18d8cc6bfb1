// The chain once more, from docs/chain.md alone, in another language: node chain_check.mjs < chain_vectors.json
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();
const number = (value, bytes) => {
  const hex = BigInt.asUintN(bytes * 8, BigInt(value)).toString(16).padStart(bytes * 2, "0");
  return Buffer.from(hex, "hex");
};
const text = (value) => {
  const data = Buffer.from(value, "utf8");
  return Buffer.concat([number(data.length, 4), data]);
};
const bytewise = (key) => (a, b) => Buffer.compare(Buffer.from(key(a)), Buffer.from(key(b)));

function detailsDigest(record) {
  if (record.details_digest) return Buffer.from(record.details_digest, "hex");
  const pairs = Object.entries(record.metadata ?? {}).sort(bytewise(([key]) => key));
  return sha256(
    Buffer.from(record.salt, "hex"),
    text(record.description ?? ""),
    number(pairs.length, 4),
    ...pairs.flatMap(([key, value]) => [text(key), text(value)]),
    text(record.external_ref ?? ""),
    ...(record.template ? given(record.parameters) : []),
  );
}

const pairs = (values) => [
  number(Object.keys(values).length, 4),
  ...Object.entries(values)
    .sort(bytewise(([name]) => name))
    .flatMap(([name, value]) => [text(name), text(value)]),
];
const given = (parameters) => [
  ...pairs(parameters.values),
  number(parameters.items.length, 4),
  ...parameters.items.flatMap(([group, values]) => [text(group), ...pairs(values)]),
];

const bound = (value) => (value === null ? number(0, 1) : Buffer.concat([number(1, 1), number(value, 16)]));

const count = (list) => number(list.length, 4);
const limits = (given) => [
  count(given),
  ...[...given]
    .sort(bytewise((limit) => limit.asset))
    .flatMap((limit) => [text(limit.asset), bound(limit.balance_min), bound(limit.balance_max)]),
];
const texts = (given) => [count(given), ...[...given].sort(bytewise((one) => one)).map(text)];

const family = (given) => [
  text(given.pattern),
  count(Object.keys(given.parameters)),
  ...Object.entries(given.parameters)
    .sort(bytewise(([name]) => name))
    .flatMap(([name, type]) => [text(name), number(type, 1)]),
  number(given.type, 1),
  number((given.opens_on_first_posting ? 1 : 0) + (given.limits_include_zero ? 2 : 0), 1),
  ...texts(given.assets),
  ...limits(
    Object.entries(given.limits).map(([asset, [balance_min, balance_max]]) => ({ asset, balance_min, balance_max })),
  ),
  text(given.description),
];
const kind = (given) => [
  text(given.name),
  number(given.idempotency, 1),
  ...texts(given.required_metadata),
  number((given.numbering ? 1 : 0) + (given.role ? 2 : 0), 1),
  ...(given.numbering ? [text(given.numbering.name), text(given.numbering.per)] : []),
  ...(given.role ? [number(given.role, 1)] : []),
];

const declared = (parameters) => [
  count(parameters),
  ...[...parameters].sort(bytewise(([name]) => name)).flatMap(([name, type]) => [text(name), number(type, 1)]),
];
const weight = (given) => {
  if (given === null) return [number(0, 1)];
  return typeof given === "string" ? [number(2, 1), text(given)] : [number(1, 1), number(given, 8)];
};
const template = (given) => [
  text(given.name),
  number(given.version, 4),
  text(given.kind),
  ...declared(given.parameters),
  count(given.groups),
  ...[...given.groups]
    .sort(bytewise(([name]) => name))
    .flatMap(([name, minItems, parameters]) => [text(name), number(minItems, 4), ...declared(parameters)]),
  count(given.entries),
  ...given.entries.flatMap((entry) => [
    number(entry.side, 1),
    text(entry.account),
    text(entry.asset),
    text(entry.group),
    count(entry.factors),
    ...entry.factors.map(text),
    ...weight(entry.weight),
  ]),
  ...pairs(given.metadata),
];
const accountSet = (given) => [
  text(given.name),
  ...texts(given.accounts),
  ...texts(given.prefixes),
  ...texts(given.sets),
  text(given.description),
];
const versions = (a, b) => bytewise((one) => one.name)(a, b) || a.version - b.version;

const layouts = {
  chart: (record) => [
    number(6, 1),
    number(record.version, 4),
    count(record.chart.assets),
    ...[...record.chart.assets]
      .sort(bytewise((asset) => asset.code))
      .flatMap((asset) => [text(asset.code), number(asset.scale, 1)]),
    count(record.chart.families),
    ...[...record.chart.families].sort(bytewise((one) => one.pattern)).flatMap(family),
    count(record.chart.kinds),
    ...[...record.chart.kinds].sort(bytewise((one) => one.name)).flatMap(kind),
    count(record.chart.templates ?? []),
    ...[...(record.chart.templates ?? [])].sort(versions).flatMap(template),
    count(record.chart.sets ?? []),
    ...[...(record.chart.sets ?? [])].sort(bytewise((one) => one.name)).flatMap(accountSet),
  ],
  ledger: (record) => [number(1, 1), detailsDigest(record)],
  asset: (record) => [number(2, 1), text(record.code), number(record.scale, 1)],
  account: (record) => [
    number(3, 1),
    text(record.name),
    number(record.type, 1),
    number(record.version, 4),
    ...limits(record.limits),
    detailsDigest(record),
    ...(record.version > 1 ? [number(record.status, 1)] : []),
  ],
  member: (record) => [
    number(5, 1),
    text(record.principal),
    number(record.version, 4),
    number(record.roles.length, 4),
    ...record.roles.map((role) => number(role, 1)),
    number(record.account_prefixes.length, 4),
    ...record.account_prefixes.map(text),
  ],
  transaction: (record) => [
    number(4, 1),
    text(record.idempotency_key),
    text(record.kind),
    number(record.effective_time, 8),
    number(
      (record.effective_time_given ? 1 : 0) +
        (record.forced ? 2 : 0) +
        (record.opened?.length ? 4 : 0) +
        (record.template ? 8 : 0) +
        (record.number ? 16 : 0),
      1,
    ),
    number(record.reverses, 8),
    detailsDigest(record),
    number(record.entries.length, 4),
    ...record.entries.flatMap((entry) => [
      number(entry.side, 1),
      number(0, 1),
      text(entry.account),
      number(entry.amount, 16),
      text(entry.asset),
    ]),
    ...(record.opened?.length
      ? [
          count(record.opened),
          ...record.opened.flatMap((one) => [text(one.name), number(one.type, 1), ...limits(one.limits)]),
        ]
      : []),
    ...(record.template ? [text(record.template), number(record.template_version, 4)] : []),
    ...(record.number ? [text(record.series), number(record.number, 8)] : []),
  ],
};

const vectors = JSON.parse(readFileSync(0, "utf8"));
let previous = Buffer.alloc(32);
for (const record of vectors.records) {
  const [kind, ...fields] = layouts[record.record](record);
  const canonical = Buffer.concat([kind, number(record.record_time, 8), text(record.created_by), ...fields]);
  previous = sha256(number(1, 1), text(vectors.ledger), number(record.sequence, 8), previous, sha256(canonical));
  if (canonical.toString("hex") !== record.canonical || previous.toString("hex") !== record.hash) {
    console.error(`record ${record.sequence} differs`);
    process.exit(1);
  }
}

const rows = [...vectors.trial_balance.rows].sort(
  (a, b) => bytewise((row) => row.account)(a, b) || bytewise((row) => row.asset)(a, b),
);
const digest = sha256(
  number(1, 1),
  ...rows.flatMap((row) => [text(row.account), text(row.asset), text(row.debits), text(row.credits)]),
);
if (digest.toString("hex") !== vectors.trial_balance.digest) {
  console.error("the trial balance's digest differs");
  process.exit(1);
}
console.log(`${vectors.records.length} records agree`);
