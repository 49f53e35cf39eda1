module extension

go 1.26
