import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { childOf, childrenOf, readElement } from '../../../daemon/domain/element.ts';
import { RevivedError } from '../../../daemon/errors.ts';

test('elements, attributes, text, namespaces', () => {
  const root =
    readElement(`\ufeff<?xml version='1.0'?><!-- a > b --><domain type='kvm' xmlns:q="urn:q">
    <name>a &amp;&#x26;&#38;<![CDATA[<b>]]></name><devices><x a = '"' b="&lt;'"/><x/><q:x/></devices></domain>\n`);
  assert.equal(root.attributes.get('type'), 'kvm');
  assert.equal(childOf(root, 'name')?.text, 'a &&&<b>');
  const devices = childOf(root, 'devices');
  assert.deepEqual(
    childrenOf(devices, 'x').map(({ attributes }) => [...attributes]),
    [
      [
        ['a', '"'],
        ['b', "<'"],
      ],
      [],
    ],
  );
  assert.equal(childrenOf(devices, 'x', 'urn:q').length, 1);
  assert.equal(childOf(devices, 'y'), null);
  assert.equal(childOf(readElement("<a xmlns='urn:a'><b/></a>"), 'b', 'urn:a')?.name, 'b');
});

test('what is no XML is refused, and said', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /no root/],
    ['\u0089PNG\r\n', /text outside/],
    ['<a>', /<a> is not closed/],
    ['<a><b></a></b>', /ends nothing/],
    ['</a>', /ends nothing/],
    ['<a/><b/>', /more than one root/],
    ['<a/>x', /outside of its root/],
    ['<a x=1/>', /make no sense/],
    ['<a x="1" x="2"/>', /twice/],
    ['<a x="<"/>', /make no sense/],
    ['<a>&b;</a>', /stands for nothing/],
    ['<a>&#0;</a>', /stands for nothing/],
    ['<q:a/>', /prefix/],
    ['<a><!-- </a>', /does not end/],
    ['<a>< b/></a>', /stray/],
    ['<!DOCTYPE a><a/>', /document type/],
    ['\u0000', /control characters/],
    [`${'<a>'.repeat(300)}`, /levels deep/],
    [`<a>${' '.repeat(9 * 1024 * 1024)}</a>`, /bytes/],
  ];
  for (const [xml, why] of cases) {
    assert.throws(
      () => readElement(xml),
      (error) =>
        error instanceof RevivedError &&
        error.code === 'invalid-argument' &&
        why.test(error.message),
      xml.slice(0, 50),
    );
  }
});

test('any text is read or refused', () => {
  const piece = fc.constantFrom(
    '<a>',
    '</a>',
    '<b x="',
    '"',
    '/>',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '&lt;',
    '&',
    ' ',
    'x=',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        return readElement(pieces.join('')).name !== '';
      } catch (error) {
        return error instanceof RevivedError;
      }
    }),
    { numRuns: 500 },
  );
});
