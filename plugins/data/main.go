// Data holds the blocks that keep, convert, make, change and search values: lists and dictionaries above all.
// XML becomes dictionaries here.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name:        "data",
	Version:     "0.1.0",
	Description: "Values, lists, dictionaries, XML and samples",
	Blocks: sdk.Blocks(
		storeValue, convertType,
		createList, addToList, getListItem, findInList, listIsEmpty,
		reverseList, concatenateLists, removeFromList, replaceListItem,
		createDictionary, findInDictionary, dictionaryIsEmpty, parseXML,
		addToDictionary, removeFromDictionary, replaceDictionaryValue,
		persist, retrieve, dataSampling,
	),
}

func main() { sdk.Serve(plugin) }
