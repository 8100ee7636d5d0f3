'use client'

import { useState } from 'react'

import { fromMetres, type LengthUnit, lengthUnits, toMetres } from '@almanac/units'

const units = Object.keys(lengthUnits) as LengthUnit[]

export function UnitConverter() {
  const [value, setValue] = useState(1)
  const [unit, setUnit] = useState<LengthUnit>('kilometre')
  const metres = toMetres(value, unit)
  return (
    <>
      <div className="field">
        <input type="number" aria-label="Value" value={value} onChange={(event) => setValue(Number(event.target.value))} />
        <select aria-label="Unit" value={unit} onChange={(event) => setUnit(event.target.value as LengthUnit)}>
          {units.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </div>
      <table>
        <tbody>
          {units.map((name) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>
                {fromMetres(metres, name).toLocaleString('en', { maximumFractionDigits: 3 })} {lengthUnits[name].symbol}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  )
}
