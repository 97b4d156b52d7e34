! SPDX-License-Identifier: Apache-2.0
! An internal procedure that is passed as an argument: it is called by a trampoline on the stack.
program internal
  implicit none
  integer :: added
  added = 3
  call apply(add, 4)
  added = 30
  call apply(add, 4)
contains
  subroutine add(number)
    integer, intent(in) :: number
    write (*, '(i0)') number + added
  end subroutine
end program

subroutine apply(procedure, number)
  implicit none
  external :: procedure
  integer, intent(in) :: number
  call procedure(number)
end subroutine
