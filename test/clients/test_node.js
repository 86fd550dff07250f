#!/usr/bin/node
// node-pg: parametrised and named statements, arrays, pools, cursors, streams. The same
// code runs on the plain and on the encrypted tables of schema.sql.
'use strict';
const assert = require('assert');
const { execFileSync } = require('child_process');
const path = require('path');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');

const TEXT = 25, TEXT_ARRAY = 1009; // pg_type.oid
const CUSTOMERS = [
  ['ada@example.org', 'Ada Lovelace', '4111 1111 1111 1111', 'London'],
  ['grace@example.org', 'Grace "Amazing" O\'Hopper\\n\t,', '5555-5555-5555-4444', 'New York'],
  ['emilie@example.fr', 'Émilie du Châtelet', '378282246310005', 'Paris'],
  [null, '', null, null],
  ['LONG@example.org', 'long\n'.repeat(2000), '6011111111111117', ''],
  ['嫦娥@example.cn', '👩‍🚀 in orbit', '4111111111111111', '{北京,NULL}'],
];
const MASKS = ['a***************', 'A***************', '4111 1111 **** 1111'];
const database = 'node';
let tests = 0, failures = 0;

function ok(passed, name, why) {
  tests++;
  if (!passed) failures++;
  console.log(`${passed ? 'ok' : 'not ok'} ${tests} - ${name}`);
  if (!passed) console.error(`#   Failed test '${name}'\n${String(why).slice(0, 4000).replace(/^/gm, '#   ')}`);
}

function equal(got, expected, name) {
  try {
    assert.deepStrictEqual(got, expected);
    ok(true, name);
  } catch (error) {
    ok(false, name, error.message);
  }
}

function config(twin, user = 'oms') {
  return { host: process.env.PGHOST, port: process.env.PGPORT, database, user, options: `-c search_path=${twin}` };
}

const twins = {};

// A test: the function gives the same on both.
async function same(name, run) {
  const results = {};
  for (const twin of ['plain', 'secret']) {
    try {
      results[twin] = await run(twins[twin], twin);
    } catch (error) {
      ok(false, name, `on ${twin}: ${error.stack}`);
      await twins[twin].query('ROLLBACK').catch(() => {});
      return;
    }
  }
  equal(results.secret, results.plain, name);
}

// Everything of a result but what names the table's columns.
function whole(result) {
  return {
    command: result.command, rowCount: result.rowCount, rows: result.rows,
    fields: result.fields.map(({ name, dataTypeID, dataTypeSize, dataTypeModifier, format }) =>
      ({ name, dataTypeID, dataTypeSize, dataTypeModifier, format })),
  };
}

async function sqlstate(db, text, values) {
  try {
    await db.query(text, values);
    return null;
  } catch (error) {
    return [error.code, error.constraint];
  }
}

const statements = [
  ['=', 'SELECT * FROM customers WHERE email = $1', ['ada@example.org']],
  ['= the other way round', 'SELECT * FROM customers WHERE $1 = email', ['ada@example.org']],
  ['= with a cast', 'SELECT * FROM customers WHERE email = $1::text', ['ada@example.org']],
  ['= on a card number', 'SELECT id, card FROM customers WHERE card = $1', ['378282246310005']],
  ['= without a token', 'SELECT id FROM customers WHERE name = $1', ['Ada Lovelace']],
  ['NULL', 'SELECT id FROM customers WHERE email = $1', [null]],
  ['IN', 'SELECT id FROM customers WHERE email IN ($1, $2) ORDER BY id', ['ada@example.org', '嫦娥@example.cn']],
  ['= ANY', 'SELECT id FROM customers WHERE email = ANY($1) ORDER BY id', [['ada@example.org', 'LONG@example.org', null]]],
  ['= ANY with a cast', 'SELECT id FROM customers WHERE email = ANY($1::text[]) ORDER BY id', [['ada@example.org']]],
  ['<> ALL', 'SELECT id FROM customers WHERE email <> ALL($1) ORDER BY id', [['ada@example.org']]],
  ['ILIKE', 'SELECT email FROM customers WHERE email ILIKE $1 ORDER BY id', ['%EXAMPLE.org']],
  ['LOWER', 'SELECT LOWER(email) FROM customers WHERE LOWER(email) = LOWER($1)', ['Long@Example.ORG']],
  ['ORDER BY', 'SELECT email, name FROM customers ORDER BY email DESC, id', []],
  ['DISTINCT', 'SELECT DISTINCT email FROM customers ORDER BY email', []],
  ['join', 'SELECT o.item, c.name FROM orders o JOIN customers c ON o.email = c.email WHERE c.email = $1', ['ada@example.org']],
  ['arrays', 'SELECT array_agg(email ORDER BY id) AS a, array_agg(card ORDER BY id) AS c FROM customers', []],
  ['json', 'SELECT row_to_json(c), json_build_object($1::text, email) FROM customers c ORDER BY id', ['e']],
  ['json_agg', 'SELECT json_agg(c ORDER BY id) FROM customers c', []],
  ['coalesce', 'SELECT COALESCE(email, $1) FROM customers ORDER BY id', ['none']],
  ['a parameter in two places', "SELECT COALESCE(email, $1) AS a, $1 AS b, CASE WHEN id > 2 THEN email ELSE $1 END AS c FROM customers"
    + ' WHERE email = $1 OR email IS NULL OR email = ANY(ARRAY[$1, $2]) ORDER BY id', ['ada@example.org', 'LONG@example.org']],
  ['upsert', 'INSERT INTO customers (email, name) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET name = EXCLUDED.name,'
    + ' visits = customers.visits + 1 RETURNING *', ['ada@example.org', 'Countess']],
  ['UPDATE', 'UPDATE customers SET name = $1, card = COALESCE($2, card) WHERE email = $3 RETURNING id, name, card',
    ['Ada Lovelace', null, 'ada@example.org']],
  ['INSERT SELECT unnest', 'INSERT INTO customers (email) SELECT unnest($1::text[]) RETURNING email', [['u1', 'u2']]],
  ['DELETE', 'DELETE FROM customers WHERE email = ANY($1) RETURNING email', [['u1', 'u2']]],
];

async function main() {
  execFileSync(path.join(__dirname, 'database'), [database]);
  for (const twin of ['plain', 'secret']) {
    twins[twin] = new Client(config(twin));
    await twins[twin].connect();
  }

  await same('INSERT RETURNING', async (db) => {
    const results = [];
    for (const row of CUSTOMERS) {
      results.push(whole(await db.query('INSERT INTO customers (email, name, card, city) VALUES ($1, $2, $3, $4) RETURNING *', row)));
    }
    return results;
  });
  await same('INSERT of many rows', async (db) => {
    const values = CUSTOMERS.map((row, n) => [row[0], `book ${n}`]).flat();
    const places = CUSTOMERS.map((_, n) => `($${2 * n + 1}, $${2 * n + 2})`).join(', ');
    return whole(await db.query(`INSERT INTO orders (email, item) VALUES ${places}`, values));
  });
  await same('SELECT *', async (db, twin) => {
    const result = await db.query({ text: 'SELECT email, name, card, city FROM customers ORDER BY id', rowMode: 'array' });
    equal(result.rows, CUSTOMERS, `    ${twin}: all is there as it was written`);
    equal(result.fields.map((f) => f.dataTypeID), [TEXT, TEXT, TEXT, TEXT], `    ${twin}: and described as text`);
    return whole(result);
  });
  for (const [name, text, values] of statements) {
    await same(name, async (db) => whole(await db.query(text, values)));
  }
  await same('arrays are arrays of text', async (db) => {
    const result = await db.query('SELECT array_agg(email) AS a, ARRAY[name, city] AS b FROM customers GROUP BY name, city');
    equal(result.fields.map((f) => f.dataTypeID), [TEXT_ARRAY, TEXT_ARRAY], '    by their type');
    return result.rows.length;
  });

  await same('named statements, before and after ALTER TABLE and ANALYZE', async (db, twin) => {
    const owner = new Client(config(twin, 'postgres'));
    await owner.connect();
    const results = [];
    for (const change of ['SELECT 1', 'ALTER TABLE orders ADD note text', 'ANALYZE orders', 'ALTER TABLE orders DROP note']) {
      await owner.query(change);
      for (const [email] of CUSTOMERS) {
        results.push(whole(await db.query({ name: 'orders of', text: 'SELECT email, item FROM orders WHERE email = $1', values: [email] })));
        results.push(whole(await db.query({ name: 'count', text: 'SELECT count(*) FROM customers WHERE email = ANY($1)', values: [[email]] })));
      }
    }
    await owner.end();
    return results;
  });

  await same('simple protocol, several statements in one', async (db) =>
    (await db.query("BEGIN; UPDATE customers SET name = 'x' WHERE email = 'ada@example.org' RETURNING email, name;"
      + " SELECT email FROM customers WHERE name = 'x'; ROLLBACK")).map(whole));

  await same('pg-cursor and pg-query-stream', async (db) => {
    const cursor = db.query(new Cursor('SELECT id, email FROM customers WHERE email <> $1 ORDER BY email', ['ada@example.org']));
    const read = (n) => new Promise((resolve, reject) => cursor.read(n, (error, rows) => (error ? reject(error) : resolve(rows))));
    const results = [await read(2), await read(10)];
    await new Promise((resolve) => cursor.close(resolve));
    for await (const row of db.query(new QueryStream('SELECT email, name FROM customers ORDER BY id', [], { batchSize: 2 }))) {
      results.push(row);
    }
    return results;
  });

  await same('a pool, used by many at once', async (_, twin) => {
    const pool = new Pool({ ...config(twin), max: 2 });
    const found = await Promise.all([...CUSTOMERS, ...CUSTOMERS].map(([email]) =>
      pool.query('SELECT id, name FROM customers WHERE email = $1', [email])));
    await pool.end();
    return found.map(whole);
  });

  await same('errors', async (db) => [
    await sqlstate(db, 'INSERT INTO customers (email) VALUES ($1)', ['ada@example.org']),
    await sqlstate(db, "INSERT INTO orders (email, item) VALUES ($1, 'x')", ['nobody@example.org']),
    await sqlstate(db, 'DELETE FROM customers WHERE email = $1', ['ada@example.org']),
  ]);

  await otherRoles();
  for (const twin of Object.values(twins)) await twin.end();
  console.log(`1..${tests}`);
  process.exit(failures > 0 ? 1 : 0);
}

async function otherRoles() {
  const columns = 'SELECT email, name, card FROM customers WHERE id = $1';
  const write = 'UPDATE customers SET name = $1 WHERE id = 1';
  const clients = {};
  for (const role of ['support', 'stranger']) {
    clients[role] = new Client(config('secret', role));
    await clients[role].connect();
    const city = await clients[role].query('UPDATE customers SET city = $1 WHERE id = 1 RETURNING city', [role]);
    equal(city.rows[0].city, role, `${role} writes other columns`);
    equal((await sqlstate(clients[role], write, ['x']) || [])[0], '42501', `${role} cannot write an encrypted column`);
    equal((await sqlstate(clients[role], write, [MASKS[1]]) || [])[0], '42501', `${role} cannot write a mask`);
    equal((await sqlstate(clients[role], 'SELECT id FROM customers WHERE email = $1', ['x']) || [])[0], '42501',
      `${role} cannot compare`);
  }
  const choice = { text: 'SELECT COALESCE(email, $1) FROM customers WHERE id IN (1, 4) AND $1 IS NOT NULL ORDER BY id', values: ['none'], rowMode: 'array' };
  equal((await clients.support.query(choice)).rows, [[MASKS[0]], ['none']], 'support sees its own parameter beside a mask');
  equal((await clients.stranger.query(choice)).rows[1], ['none'], 'and a role without grant beside armor');
  const masks = await clients.support.query({ text: columns, values: [1], rowMode: 'array' });
  equal(masks.rows, [MASKS], 'support sees masks');
  equal(masks.fields.map((f) => f.dataTypeID), [TEXT, TEXT, TEXT], 'described as text');
  const armor = await clients.stranger.query({ text: columns, values: [1], rowMode: 'array' });
  ok(armor.rows[0].every((value) => value.startsWith('sdes1:')), 'a role without grant sees armor', armor.rows);
  const mine = await twins.secret.query({ text: columns, values: [1], rowMode: 'array' });
  equal(mine.rows, [CUSTOMERS[0].slice(0, 3)], 'and all is as it was for oms');
  for (const client of Object.values(clients)) await client.end();
}

main().catch((error) => {
  console.error(`# ${error.stack}`);
  process.exit(2);
});
