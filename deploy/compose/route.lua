-- Route every radiograph to the node, as a PACS does. The SEG and SR that come back are none, so nothing circles.
function OnStoredInstance(instanceId, tags, metadata, origin)
   if tags['Modality'] == 'CR' or tags['Modality'] == 'DX' then
      SendToModality(instanceId, 'hilum')
   end
end
