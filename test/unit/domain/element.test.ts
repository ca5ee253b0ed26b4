import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOMParser, type Element, onErrorStopParsing } from '@xmldom/xmldom';
import fc from 'fast-check';
import {
  childOf,
  childrenOf,
  readElement,
  type XmlElement,
} from '../../../daemon/domain/element.ts';
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

test('a prefix that stands for nothing is part of the name, as libxml2 and so libvirt have it', () => {
  const root = readElement('<a><b:y c:z="1"/><xml:z/><hostdev>&#x0000077;</hostdev></a>');
  assert.deepEqual(
    root.children.map(({ name, namespace }) => [name, namespace]),
    [
      ['b:y', null],
      ['z', 'http://www.w3.org/XML/1998/namespace'],
      ['hostdev', null],
    ],
  );
  assert.equal(childOf(root, 'y'), null);
  assert.equal(childOf(root, 'hostdev')?.text, 'w');
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
    ['<a><!-- </a>', /does not end/],
    ['<a>< b/></a>', /stray/],
    ['<!DOCTYPE a><a/>', /document type/],
    ['\u0000', /control characters/],
    [`${'<a>'.repeat(300)}`, /levels deep/],
    [`<a>${' '.repeat(9 * 1024 * 1024)}</a>`, /bytes/],
    [`<a>${'&amp;'.repeat(100_001)}</a>`, /character references/],
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

test('what it reads, a parser of XML reads in the same way', () => {
  const text = fc.stringMatching(/^[ \na-z0-9$(>"'é]{0,6}$/);
  const raw = fc.oneof(
    text,
    fc.constantFrom('&lt;', '&#38;', '&#x27;', '<!-- <b> -->', '<![CDATA[<&]]>', ']]'),
  );
  const name = fc.constantFrom('a', 'b', 'q:a', 'x-1');
  const attribute = fc.tuple(
    fc.constantFrom('x', 'y', 'q:x'),
    fc.stringMatching(/^[ a-z>']{0,4}$/),
  );
  const { element } = fc.letrec((tie) => ({
    element: fc
      .tuple(
        name,
        fc.array(attribute, { maxLength: 2 }),
        fc.array(tie('content'), { maxLength: 4 }),
      )
      .map(([tag, attributes, inside]) => {
        const head = `<${tag}${attributes.map(([key, value]) => ` ${key}="${value}"`).join('')}`;
        return inside.length === 0 ? `${head}/>` : `${head}>${inside.join('')}</${tag}>`;
      }),
    content: fc.oneof({ depthSize: 'small' }, raw, tie('element')),
  }));
  let read = 0;
  fc.assert(
    fc.property(element, (inside) => {
      const xml = `<domain xmlns:q="urn:q">${String(inside)}</domain>`;
      let ours: XmlElement;
      try {
        ours = readElement(xml);
      } catch (error) {
        return error instanceof RevivedError; // an attribute twice
      }
      const document = new DOMParser({ onError: onErrorStopParsing }).parseFromString(
        xml,
        'text/xml',
      );
      assert.deepEqual(shapeOf(ours), domShapeOf(document.documentElement));
      read += 1;
      return true;
    }),
    { numRuns: 200 },
  );
  assert.ok(read > 100, `${read} were read`);
});

function shapeOf({ name, namespace, attributes, text, children }: XmlElement): unknown {
  const sorted = [...attributes].sort();
  return { name, namespace, attributes: sorted, text, children: children.map(shapeOf) };
}

function domShapeOf(node: Element | null): unknown {
  const nodes = Array.from(node?.childNodes ?? []);
  const own = nodes.filter((one) => one.nodeType === 3 || one.nodeType === 4);
  return {
    name: node?.localName,
    namespace: node?.namespaceURI ?? null,
    attributes: Array.from(node?.attributes ?? [], (one) => [one.name, one.value]).sort(),
    text: own.map((one) => one.nodeValue).join(''),
    children: nodes.filter(isElement).map(domShapeOf),
  };
}

function isElement(node: { readonly nodeType: number }): node is Element {
  return node.nodeType === 1;
}
